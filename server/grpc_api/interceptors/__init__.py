"""The steps every call goes through; `pipeline.py` sets their order.

They are plain functions of the call, called one after the other by one coroutine: a chain of grpc interceptors is
walked for every call, and coroutines within coroutines are resumed one by one.
"""
