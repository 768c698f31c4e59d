// Talking to the local server. Every answer is JSON; an error carries a sentence for the person.

export const windowId = crypto.randomUUID();

export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refusal("The server does not answer. What was shown as saved is saved; start `infraspot annotate` again.", 0);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Refusal(body.error ?? `The server answered ${response.status}.`, response.status);
}

function post(path, body) {
  return request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  }).then((response) => response.json());
}

const at = (image) => `/api/images/${encodeURIComponent(image)}`;

export const images = () => request("/api/images").then((response) => response.json());
export const thumbnail = (image) => `${at(image)}/thumbnail`;
export const proposals = (image) => request(`${at(image)}/proposals`).then((response) => response.json());
export const open = (image) => post(`${at(image)}/open`, { window: windowId });
export const keep = (image) => post(`${at(image)}/keep`, { window: windowId });
export const act = (image, version, action, seconds) =>
  post(`${at(image)}/act`, { window: windowId, version, action, seconds });
export const click = (image, body) => post(`${at(image)}/click`, { window: windowId, ...body });
export const clicks = (image, body) => post(`${at(image)}/clicks`, { window: windowId, ...body });
export const learn = (on) => post("/api/learning", { window: windowId, on });
export const adapt = (work) => post("/api/adapt", { window: windowId, work });
export const exportAs = (format) => post("/api/export", { window: windowId, format });

// A page that closes has no time to wait for an answer.
export const close = (image) =>
  navigator.sendBeacon(`${at(image)}/close`, new Blob([JSON.stringify({ window: windowId })]));

export async function pixels(image) {
  const response = await request(`${at(image)}/pixels`);
  const header = (name) => Number(response.headers.get(name));
  return {
    width: header("X-Width"),
    height: header("X-Height"),
    depth: header("X-Depth"),
    values: new Uint16Array(await response.arrayBuffer()),
  };
}
