// Requests to the server that this page comes from, below whatever path it is mounted.

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

// Sends a request and returns {data, errors}. A network failure is returned as an error like any other.
export async function post(body) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  try {
    const response = await fetch("v1", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers() },
      body: text,
    });
    const { data = [], errors = [] } = await response.json();
    return { data, errors };
  } catch (error) {
    return { data: [], errors: [{ code: "unreachable", message: `The server cannot be reached: ${error.message}` }] };
  }
}

export async function get(path) {
  const response = await fetch(path, { headers: headers() });
  if (!response.ok) {
    const { errors = [] } = await response.json().catch(() => ({}));
    throw Object.assign(new Error(response.statusText), { status: response.status, code: errors[0]?.code });
  }
  return response.json();
}

// A UUID of version 4. Browsers offer crypto.randomUUID only over https and on localhost.
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
  for (let start = 0; start < bytes.length; start += 0x8000) parts.push(String.fromCharCode(...bytes.subarray(start, start + 0x8000)));
  return btoa(parts.join(""));
}

// Creates an element with properties, attributes and children: element("p", {className: "x"}, "text", child).
export function element(tag, { attributes = {}, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
