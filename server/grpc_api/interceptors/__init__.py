"""The steps every call goes through; `pipeline.py` sets their order.

They are plain wrappers put around a handler once, at registration: a chain of grpc interceptors is walked for every
call.
"""
