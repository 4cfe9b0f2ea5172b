// Keeps the page for visits without a network: a service worker. `cargo xtask` puts the list of the site's files, with their
// hashes, in the place of this empty one (xtask/src/offline.rs). Each file is kept under its hash, so files of two versions are
// never mixed, and a new version fetches only what has changed.

const FILES = {};

/** What is not fetched before it is needed; it is kept from then on. */
const LATER = /^(worker_gpu|worker_converter|models\/examples|models\/photos|third-party)/;
const CACHE = "destseg-page";
/** Where the engine keeps models itself, under the same addresses: src/page/worker/download.rs. */
const MODELS = "destseg-1";

const { scope } = self.registration;
const address = (name) => `${scope}${name}?${FILES[name]}`;
/** A hash as `fetch` wants it. */
const integrity = (hash) => `sha256-${btoa(String.fromCharCode(...hash.match(/../g).map((byte) => parseInt(byte, 16))))}`;

/** A file of the list, from the cache or from the host; only the very file that the list means. */
const take = async (name) => {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(address(name));
  if (kept) return kept;
  const ask = (cache) => fetch(scope + name, { integrity: integrity(FILES[name]), cache });
  // the page has just fetched most of them; what the browser still has of an older version is asked for again
  const response = await ask("default").catch(() => ask("reload"));
  // where the storage is full the page works as without this
  if (response.ok) await cache.put(address(name), response.clone()).catch(() => {});
  return response;
};

const takeAll = async (names) => {
  await Promise.all(names.map(take));
  const cache = await caches.open(CACHE);
  const kept = await Promise.all(names.map((name) => cache.match(address(name))));
  const missing = names.filter((_, place) => !kept[place]);
  if (missing.length) throw new Error(`not kept: ${missing.join(", ")}`);
};

/** Models are checked by the engine when it opens them. */
const takeModels = async (models) => {
  const cache = await caches.open(MODELS);
  for (const { file, sha256 } of models) {
    const model = `${scope}${file}?${sha256.slice(0, 16)}`;
    if (!(await cache.match(model))) await cache.add(model);
  }
};

const manifest = async () => (await take("models/manifest.json")).json();

/** The page, its engine for the CPU, and the model that it opens with, with its examples. */
const takeFirst = async () => {
  await takeAll(Object.keys(FILES).filter((name) => !LATER.test(name)));
  const { teachers, models } = await manifest();
  await takeModels([...teachers, models[0]]);
  await takeAll(models[0].examples.map(({ file }) => file));
};

/** All models, examples and photos. The engine for graphics cards is kept where it is used. */
const takeRest = async () => {
  await takeAll(Object.keys(FILES).filter((name) => !name.startsWith("worker_gpu")));
  const { models, ablations } = await manifest();
  await takeModels([...models, ...ablations]);
};

self.addEventListener("install", (event) => event.waitUntil(takeFirst()));

/** From now on this version serves; what only an older one had is forgotten. */
const begin = async () => {
  const cache = await caches.open(CACHE);
  const own = new Set(Object.keys(FILES).map(address));
  const old = (await cache.keys()).filter(({ url }) => !own.has(url));
  await Promise.all(old.map((request) => cache.delete(request)));
  await self.clients.claim();
};
self.addEventListener("activate", (event) => event.waitUntil(begin()));

self.addEventListener("message", (event) => {
  if (event.data === "use") self.skipWaiting();
  if (event.data === "all") {
    const answer = (isDone) => event.ports[0].postMessage(isDone);
    event.waitUntil(takeRest().then(() => answer(true), () => answer(false)));
  }
});

self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method !== "GET" || !url.startsWith(scope)) return;
  const name = new URL(url).pathname.slice(new URL(scope).pathname.length);
  // hosts answer for the folder with its index.html, and some send requests for that file back to the folder
  const own = name === "index.html" ? "" : name;
  if (own in FILES) event.respondWith(take(own));
});
