// Talks to the server this page came from, wherever it is mounted.

const STORED = "acestep-xl-key";

export function setKey(key) {
  if (key) sessionStorage.setItem(STORED, key);
  else sessionStorage.removeItem(STORED);
}

export function getKey() {
  return sessionStorage.getItem(STORED) ?? "";
}

function headers() {
  const key = getKey();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// The answer of a request as {data, errors}; what went wrong on the way is an error like any other.
export async function post(body) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  try {
    const answer = await fetch("v1", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers() },
      body: text,
    });
    const { data = [], errors = [] } = await answer.json();
    return { data, errors };
  } catch (error) {
    return { data: [], errors: [{ code: "unreachable", message: `The server cannot be reached: ${error.message}` }] };
  }
}

export async function get(path) {
  const answer = await fetch(path, { headers: headers() });
  if (!answer.ok) throw Object.assign(new Error(answer.statusText), { status: answer.status });
  return answer.json();
}

// A UUID of version 4. crypto.randomUUID exists only on this machine and over https.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export function bytesToBase64(buffer) {
  const bytes = new Uint8Array(buffer);
  const parts = [];
  for (let at = 0; at < bytes.length; at += 0x8000) parts.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)));
  return btoa(parts.join(""));
}

// An element with properties, attributes and children: make("p", {className: "x"}, "text", child).
export function make(tag, { attributes = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
