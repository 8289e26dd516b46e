// Signature Version 4 of a POST to "/" (AWS: "Create a signed AWS API request"). The hash is plain
// JavaScript: crypto.subtle is missing where the page came over http from another machine.
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

export interface Keys {
  id: string;
  secret: string;
  token?: string;
}

const hash = (text: string) => bytesToHex(sha256(utf8ToBytes(text)));
const mac = (key: Uint8Array, text: string) => hmac(sha256, key, utf8ToBytes(text));

/** sign returns headers, which hold the lower-case names given, with x-amz-date and authorization added. */
export function sign(keys: Keys, service: string, region: string, host: string, body: string, headers: Record<string, string>, now: Date): Record<string, string> {
  const stamp = now.toISOString().replace(/[-:]|\.\d{3}/g, "");
  const day = stamp.slice(0, 8);
  const all: Record<string, string> = { ...headers, host, "x-amz-date": stamp };
  if (keys.token) all["x-amz-security-token"] = keys.token;
  const names = Object.keys(all).sort();
  const signed = names.join(";");
  const canonical = ["POST", "/", "", ...names.map((n) => `${n}:${all[n].trim()}`), "", signed, hash(body)].join("\n");
  const scope = `${day}/${region}/${service}/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", stamp, scope, hash(canonical)].join("\n");
  const key = [day, region, service, "aws4_request"].reduce(mac, utf8ToBytes("AWS4" + keys.secret));
  const { host: _, ...sent } = all; // the browser sets it
  sent.authorization = `AWS4-HMAC-SHA256 Credential=${keys.id}/${scope}, SignedHeaders=${signed}, Signature=${bytesToHex(mac(key, text))}`;
  return sent;
}
