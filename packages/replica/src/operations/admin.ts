/**
 * The admin endpoint: health, metrics, status and `why` over HTTP, for probes and people on the same machine. Reads only:
 * no request changes anything. It has no authentication, so it listens where the operator says, and nowhere by default.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { NarsesError, type Logger } from "@narses/core";
import { ADMIN_CONNECTIONS_MAX, ADMIN_HEADER_BYTES_MAX, ADMIN_REQUEST_MS, ADMIN_REQUESTS_PER_CONNECTION_MAX } from "../limits.ts";
import { createLogLimiter, describeError } from "../log.ts";
import type { Health } from "./health.ts";
import type { Metrics } from "./metrics.ts";
import type { ReplicaStatus } from "./status.ts";
import type { WhyReport } from "./why.ts";

export interface AdminAddress {
  readonly host: string;
  readonly port: number;
}

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/;

/** "127.0.0.1:9100", "[::1]:9100", or a port alone, which means 127.0.0.1. Port 0: any free one. Undefined when it is none of these. */
export function parseAdminAddress(text: string): AdminAddress | undefined {
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^\s:[\]/]+):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) return undefined;
  return { host: match[1]?.replace(/^\[|\]$/g, "") ?? "127.0.0.1", port };
}

export interface AdminSources {
  readonly health: () => Health;
  readonly status: () => ReplicaStatus;
  readonly why: () => WhyReport;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

export interface Admin {
  /** http://127.0.0.1:9100, with the real port. */
  readonly url: string;
  /** Answers nothing any more; open connections are closed. */
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const JSON_TYPE = "application/json; charset=utf-8";
const json = (status: number, value: unknown): Answer => ({ status, type: JSON_TYPE, body: `${JSON.stringify(value)}\n` });

type Endpoint = () => Answer | Promise<Answer>;

function endpointsOf({ health, status, why, metrics }: AdminSources): ReadonlyMap<string, Endpoint> {
  const endpoints = new Map<string, Endpoint>([
    ["/health", () => {
      const found = health();
      return json(found.healthy ? 200 : 503, found);
    }],
    ["/ready", () => {
      const found = health();
      return json(found.ready ? 200 : 503, found);
    }],
    ["/status", () => json(200, status())],
    ["/why", () => json(200, why())],
    ["/metrics", async () => ({ status: 200, type: metrics.contentType, body: await metrics.render() })],
  ]);
  endpoints.set("/", () => json(200, { endpoints: [...endpoints.keys()].filter((path) => path !== "/") }));
  return endpoints;
}

/** @throws NarsesError PORT_IN_USE, or CONFIG_INVALID when the address is not one of this machine. */
export async function startAdmin(address: AdminAddress, sources: AdminSources): Promise<Admin> {
  const { logger } = sources;
  const endpoints = endpointsOf(sources);
  const limiter = createLogLimiter(() => performance.now());
  const fail = (error: unknown): void => {
    limiter.line("admin", (leftOut) => logger.error({ leftOut, error: describeError(error) }, "the admin endpoint could not answer a request"));
  };
  const server = createServer(
    {
      maxHeaderSize: ADMIN_HEADER_BYTES_MAX,
      requestTimeout: ADMIN_REQUEST_MS, headersTimeout: ADMIN_REQUEST_MS, keepAliveTimeout: ADMIN_REQUEST_MS,
      connectionsCheckingInterval: 1_000,
    },
    (request, response) => {
      response.on("error", () => undefined); // the asker is gone
      serve(endpoints, request, response).catch((error: unknown) => {
        fail(error);
        if (response.headersSent) response.destroy();
        else write(response, json(500, { error: "the request failed; the replica's log tells why" }), { close: true });
      });
    },
  );
  server.maxConnections = ADMIN_CONNECTIONS_MAX;
  server.maxRequestsPerSocket = ADMIN_REQUESTS_PER_CONNECTION_MAX;
  server.on("clientError", refuseGarbage);
  await listen(server, address);
  server.on("error", fail);
  const url = urlOf(server);
  logger.info({ url }, `admin endpoint ${url}`);
  if (!LOOPBACK.test(address.host)) {
    logger.warn({ url }, `${url} can be reached from other machines and has no authentication: let only trusted ones reach it`);
  }
  return {
    url,
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

async function serve(endpoints: ReadonlyMap<string, Endpoint>, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume(); // a body is read to nowhere
  const { method } = request;
  const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
  const endpoint = endpoints.get(path);
  if (endpoint === undefined) {
    return write(response, json(404, { error: "there is no such page", endpoints: [...endpoints.keys()] }), { close: true });
  }
  if (method !== "GET" && method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return write(response, json(405, { error: "only GET and HEAD: nothing can be changed here" }), { close: true });
  }
  write(response, await endpoint(), { bodyless: method === "HEAD" });
}

interface WriteOptions {
  readonly close?: boolean;
  readonly bodyless?: boolean;
}

function write(response: ServerResponse, { status, type, body }: Answer, options: WriteOptions = {}): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(options.close === true && { connection: "close" }),
  });
  response.end(options.bodyless === true ? undefined : body);
}

function refuseGarbage(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = { HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large", ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout" }[error.code ?? ""];
  socket.end(`HTTP/1.1 ${status ?? "400 Bad Request"}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}

function listen(server: Server, { host, port }: AdminAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenFailed(error, `${host}:${port}`)));
    server.listen({ host, port, exclusive: true }, () => {
      server.removeAllListeners("error");
      resolve();
    });
  });
}

function listenFailed(error: NodeJS.ErrnoException, address: string): NarsesError {
  const data = { field: "admin", address };
  if (error.code === "EADDRINUSE") {
    const message = `admin: ${address} is in use by another process; stop it, or change "admin" in replica.json`;
    return new NarsesError("PORT_IN_USE", message, data, { cause: error });
  }
  const message = `admin: cannot listen on ${address} (${error.message}); change "admin" in replica.json`;
  return new NarsesError("CONFIG_INVALID", message, data, { cause: error });
}

function urlOf(server: Server): string {
  const { address, port, family } = server.address() as AddressInfo;
  return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
}
