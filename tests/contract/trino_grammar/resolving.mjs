// The parser's modules import each other without endings, as a bundler would have it: here they are found.
export async function resolve(specifier, context, next) {
  for (const ending of ["", ".js", "/index.js"]) {
    try {
      return await next(specifier + ending, context);
    } catch (error) {
      if (ending === "/index.js") throw error;
    }
  }
}
