import { expect, test } from "vitest";
import { PEER_PORT_DEFAULT, peerAddresses } from "./peer-address.ts";

test("nothing is opened unless the node has an address on a network, or the operator says where", () => {
  expect(peerAddresses({ nodeAddress: "127.0.0.1" })).toBeUndefined();
  expect(peerAddresses({ nodeAddress: "localhost" })).toBeUndefined();
  expect(peerAddresses({ nodeAddress: "192.0.2.7", peerListen: "off" })).toBeUndefined();
  expect(peerAddresses({ nodeAddress: "192.0.2.7" })).toEqual({
    host: "192.0.2.7",
    port: PEER_PORT_DEFAULT,
    announcedHost: "192.0.2.7",
  });
});

test("others are told the address that they reach", () => {
  const of = (peerListen: string, nodeAddress = "192.0.2.7") =>
    peerAddresses({ nodeAddress, peerListen });
  expect(of("0.0.0.0:9000")).toEqual({ host: "0.0.0.0", port: 9000, announcedHost: "192.0.2.7" });
  expect(of("[2001:db8::1]:9000")).toMatchObject({
    host: "2001:db8::1",
    announcedHost: "2001:db8::1",
  });
  expect(of("10.0.0.1:9000")).toMatchObject({ announcedHost: "10.0.0.1" });
  expect(of("0.0.0.0:9000", "127.0.0.1")).toMatchObject({ announcedHost: undefined });
});

test.each(["", "7446", "host", "host:", "host:99999", "a:b:1", "https://host:1"])(
  "%j is refused with the field's name",
  (peerListen) => {
    expect(() => peerAddresses({ nodeAddress: "127.0.0.1", peerListen })).toThrow(/peerListen/);
  },
);
