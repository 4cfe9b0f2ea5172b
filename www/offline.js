// Has the service worker (sw.js) keep the page, says when the page works without a network, and offers a newer version.

const show = (id) => document.getElementById(id)?.removeAttribute("hidden");
const workers = navigator.serviceWorker;

/** Offers the version that waits. The visitor decides: a reload empties the queue. */
const offer = (registration) => {
  if (registration.waiting && workers.controller) show("update");
};

const start = async () => {
  const registration = await workers.register("./sw.js");
  registration.addEventListener("updatefound", () => {
    const { installing } = registration;
    installing?.addEventListener("statechange", () => offer(registration));
  });
  offer(registration);
  await workers.ready;
  show("offline");

  document.getElementById("update-now")?.addEventListener("click", () => {
    workers.addEventListener("controllerchange", () => location.reload(), { once: true });
    registration.waiting?.postMessage("use");
  });
  document.getElementById("update-later")?.addEventListener("click", () => {
    document.getElementById("update").hidden = true;
  });
  const all = document.getElementById("offline-all");
  all?.addEventListener("click", () => {
    const { port1, port2 } = new MessageChannel();
    all.disabled = true;
    all.textContent = "Fetching …";
    port1.onmessage = ({ data }) => {
      all.disabled = data;
      all.textContent = data ? "Everything is kept" : "Not all could be fetched: try again";
    };
    registration.active.postMessage("all", [port2]);
  });
};

// without a service worker, as in some private windows, the page needs the network at each visit
if (workers) start().catch(() => {});
