// Checks how this host serves the page: what the page needs, and which headers make it safer.

const head = async (path) => {
  const response = await fetch(path, { method: "HEAD", cache: "no-store" });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.headers;
};

const page = await head("./").catch(() => new Headers());
const header = (name) => page.get(name) ?? "";

// the words, whether the page works without it, and what is found
const checks = [
  ["A secure address (https, or this machine)", true, async () => [isSecureContext, location.protocol]],
  [
    "WebAssembly is sent as application/wasm",
    true,
    async () => {
      const type = (await head("worker_cpu_bg.wasm")).get("content-type") ?? "nothing";
      return [type.startsWith("application/wasm"), type];
    },
  ],
  [
    "Scripts are sent as JavaScript",
    true,
    async () => {
      const type = (await head("ui.js")).get("content-type") ?? "nothing";
      return [/javascript/.test(type), type];
    },
  ],
  [
    "Nobody else may put the page into a frame (Content-Security-Policy: frame-ancestors)",
    false,
    async () => [/frame-ancestors/.test(header("content-security-policy")), header("content-security-policy") || "no header"],
  ],
  [
    "The page is isolated from others (Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy)",
    false,
    async () => [
      crossOriginIsolated,
      `${header("cross-origin-opener-policy") || "no header"}, ${header("cross-origin-embedder-policy") || "no header"}`,
    ],
  ],
  [
    "Only the camera is allowed (Permissions-Policy)",
    false,
    async () => {
      const policy = header("permissions-policy");
      return [/camera=\(self\)/.test(policy) && /microphone=\(\)/.test(policy), policy || "no header"];
    },
  ],
  [
    "Types are not guessed (X-Content-Type-Options: nosniff)",
    false,
    async () => [header("x-content-type-options") === "nosniff", header("x-content-type-options") || "no header"],
  ],
  [
    "No address is told to others (Referrer-Policy)",
    false,
    async () => [/no-referrer|same-origin/.test(header("referrer-policy")), header("referrer-policy") || "no header"],
  ],
];

const results = document.getElementById("results");
let missing = [0, 0];
for (const [words, isNeeded, check] of checks) {
  const [isSo, found] = await check().catch((error) => [false, error.message]);
  if (!isSo) missing[isNeeded ? 0 : 1] += 1;
  const [term, description] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = `${isSo ? "Yes" : isNeeded ? "No, and the page needs it" : "No"}: ${words}`;
  term.dataset.testid = isSo ? "host-yes" : "host-no";
  description.textContent = `Found: ${found}`;
  results.append(term, description);
}
document.getElementById("summary").textContent = missing[0]
  ? "This host must be set up otherwise before the page works."
  : missing[1]
    ? "The page works here. The headers above that are missing would make it safer."
    : "This host serves the page as it should.";
document.getElementById("summary").dataset.testid = "host-summary";
