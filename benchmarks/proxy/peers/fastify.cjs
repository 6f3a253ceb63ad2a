// fastify with http-proxy behind it, no log: node fastify.cjs PORT UPSTREAM
const http = require("http");
const fastify = require("fastify")({ logger: false, bodyLimit: 2 ** 31 });
const httpProxy = require("http-proxy");

const [port, upstream] = process.argv.slice(2).map(Number);
const proxy = httpProxy.createProxyServer({
  target: `http://127.0.0.1:${upstream}`,
  agent: new http.Agent({ keepAlive: true, maxSockets: 64 }),
  xfwd: true,
});
proxy.on("error", (error, request, response) => response.destroy(error));
fastify.removeAllContentTypeParsers();
fastify.addContentTypeParser("*", (request, payload, done) => done(null));
fastify.all("/*", (request, reply) => {
  reply.hijack();
  proxy.web(request.raw, reply.raw);
});
fastify.listen({ port, host: "127.0.0.1" });
