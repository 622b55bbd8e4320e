/** A client of etcd for the load generator: an operation is a Put, operations submitted together are one transaction. */
import { field, fields, GrpcConnection } from "./grpc.ts";
import type { LoadClient } from "./generator.ts";

const KEY = 1;
const VALUE = 2;
const TXN_SUCCESS = 2;
const REQUEST_PUT = 2;
const STATUS_HEADER = 1;
const STATUS_LEADER = 4;
const HEADER_MEMBER = 2;

/** Whether the member at this address leads; false while nobody does. */
export async function isLeader(address: string): Promise<boolean> {
  const connection = new GrpcConnection(address);
  try {
    const status = fields(await connection.call("/etcdserverpb.Maintenance/Status", new Uint8Array(0)));
    const header = status.get(STATUS_HEADER);
    const leader = status.get(STATUS_LEADER);
    return leader !== undefined && header instanceof Uint8Array && fields(header).get(HEADER_MEMBER) === leader;
  } finally {
    connection.close();
  }
}

/** Keys are its own, one for each place in a transaction: etcd refuses a key twice in one. */
export function etcdClient(address: string, name: string): LoadClient {
  const connection = new GrpcConnection(address);
  const put = (payload: Uint8Array, place: number): Uint8Array => Buffer.concat([field(KEY, Buffer.from(`${name}/${place}`)), field(VALUE, payload)]);
  return {
    async submit(payloads) {
      const [first] = payloads;
      if (payloads.length === 1 && first !== undefined) await connection.call("/etcdserverpb.KV/Put", put(first, 0));
      else await connection.call("/etcdserverpb.KV/Txn", Buffer.concat(payloads.map((payload, place) => field(TXN_SUCCESS, field(REQUEST_PUT, put(payload, place))))));
    },
    resent: () => 0,
    close: () => Promise.resolve(connection.close()),
  };
}
