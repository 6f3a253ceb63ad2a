// fastify with http-proxy behind it and kept connections both ways: node fastify.cjs PORT UPSTREAM [KEYS LOG]
// With KEYS, as one would sell access with it, doing what nginx-lua.conf does: key look-up by digest, three limits
// counted in memory with RateLimit fields, an access log that names key and tenant by its own logger (buffered: a crash
// loses it).
const http = require("http");
const { createHash } = require("crypto");
const httpProxy = require("http-proxy");
const pino = require("pino");

const [port, upstream, keys] = process.argv.slice(2, 5).map(Number);
const log = keys && pino(pino.destination({ dest: process.argv[5], minLength: 8192, sync: false }));
const fastify = require("fastify")({ logger: false, bodyLimit: 2 ** 31 });
const known = new Map();
const digest = (text) => createHash("sha1").update(text).digest("latin1");
for (let number = 0; number < keys; number++) {
  const tenant = `t${number % Math.max(1, Math.floor(keys / 10))}`;
  known.set(digest(`bench-key-${String(number).padStart(12, "0")}`), { tenant, key: `k${number}` });
}
const MAX = 1e9;
const counters = new Map();
const count = (name, window) => {
  const counter = counters.get(name);
  if (counter !== undefined && counter.window === window) return ++counter.used;
  counters.set(name, { window, used: 1 });
  return 1;
};
const proxy = httpProxy.createProxyServer({
  target: `http://127.0.0.1:${upstream}`,
  agent: new http.Agent({ keepAlive: true, maxSockets: 64 }),
  xfwd: true,
});
proxy.on("error", (error, request, response) => response.destroy(error));
fastify.removeAllContentTypeParsers();
fastify.addContentTypeParser("*", (request, payload, done) => done(null));
const pass = (request, reply) => {
  reply.hijack();
  proxy.web(request.raw, reply.raw);
};
const meter = (request, reply) => {
  const credential = request.headers["x-api-key"];
  const caller = credential === undefined ? undefined : known.get(digest(credential));
  if (caller === undefined) return reply.code(401).send();
  const now = Math.floor(Date.now() / 1000);
  const minute = count(`m:${caller.key}`, now - (now % 60));
  const day = count(`d:${caller.tenant}`, now - (now % 86400));
  const month = count(`M:${caller.tenant}`, new Date().toISOString().slice(0, 7));
  if (minute > MAX || day > MAX || month > MAX) {
    return reply.code(429).header("Retry-After", 60 - (now % 60)).send();
  }
  delete request.raw.headers["x-api-key"];
  request.raw.headers["x-tenant-id"] = caller.tenant;
  reply.raw.setHeader(
    "RateLimit",
    `"minute";r=${MAX - minute};t=${60 - (now % 60)}, "day";r=${MAX - day};t=${86400 - (now % 86400)}, "month";r=${MAX - month}`,
  );
  const began = process.hrtime.bigint();
  reply.raw.on("finish", () => {
    const { method, url, socket } = request.raw;
    const took = Number(process.hrtime.bigint() - began) / 1e6;
    log.info({ ...caller, ip: socket.remoteAddress, method, url, status: reply.raw.statusCode, took });
  });
  pass(request, reply);
};
fastify.all("/*", keys ? meter : pass);
fastify.listen({ port, host: "127.0.0.1" });
