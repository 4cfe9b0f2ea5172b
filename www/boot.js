// Starts the page's own module; the engine's is started by the page, in a worker.

// the first result comes first
const OFFLINE_AFTER_MS = 4000;

const say = (sentence) => {
  const text = document.getElementById("boot-text");
  if (text) text.textContent = sentence;
};

if (typeof WebAssembly !== "object") {
  say("This browser has no WebAssembly: use a current Chrome, Edge, Firefox or Safari.");
} else {
  try {
    const { default: init } = await import("./ui.js");
    await init({ module_or_path: new URL("./ui_bg.wasm", import.meta.url) });
    setTimeout(() => import("./offline.js"), OFFLINE_AFTER_MS);
  } catch (error) {
    console.error(error);
    say("The page could not be started: check the connection and reload it.");
  }
}
