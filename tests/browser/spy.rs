//! Looks into the page's worker from outside, with scripts in front of the page's own: what memory it has,
//! and what happens when it or its GPU is taken away. The page itself knows nothing of it.

use std::fs;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::json;
use xtask::serve::Fault;

use crate::page::Page;

/// Keeps every worker where the test finds it, and talks with the script in it.
const IN_PAGE: &str = "
    window.workers = [];
    window.Worker = class extends Worker {
        constructor(script, options) {
            super(script, { ...options, name: 'engine' });
            window.workers.push(this);
        }
    };
    window.module = null;
    for (const name of ['instantiate', 'instantiateStreaming']) {
        const original = WebAssembly[name];
        WebAssembly[name] = async (...given) => {
            const result = await original.apply(WebAssembly, given);
            window.module = (result.instance ?? result).exports.memory ?? window.module;
            return result;
        };
    }
    window.gaps = [];
    let lastFrame = performance.now();
    const frame = () => {
        const now = performance.now();
        gaps.push(now - lastFrame);
        lastFrame = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    window.killWorker = () => {
        const worker = workers.at(-1);
        worker.terminate();
        worker.dispatchEvent(new ErrorEvent('error', { message: 'killed by the test', cancelable: true }));
    };
    window.ask = question => new Promise(resolve => {
        const channel = new BroadcastChannel('spy');
        channel.onmessage = ({ data }) => {
            if (data.question) return;
            channel.close();
            resolve(data);
        };
        channel.postMessage({ question });
    });
    window.modules = () => new Promise(resolve => {
        const channel = new BroadcastChannel('spy');
        const found = [module.buffer.byteLength];
        channel.onmessage = ({ data }) => { if (data.module) found.push(data.module); };
        channel.postMessage({ question: 'module' });
        setTimeout(() => { channel.close(); resolve(found); }, 500);
    });
";

/// Counts the worker's memory: that of its WebAssembly module, and its GPU buffers.
const IN_WORKER: &str = "
    const spied = { wasm: null, gpu: 0, buffers: 0, largest: 0, device: null, limit: 0, asked: 0 };
    for (const name of ['instantiate', 'instantiateStreaming']) {
        const original = WebAssembly[name];
        WebAssembly[name] = async (...given) => {
            const result = await original.apply(WebAssembly, given);
            spied.wasm = (result.instance ?? result).exports.memory ?? spied.wasm;
            return result;
        };
    }
    if (self.GPUDevice) {
        const sizes = new WeakMap();
        const free = size => { spied.gpu -= size; spied.buffers -= 1; };
        const collected = new FinalizationRegistry(size => free(size));
        const create = GPUDevice.prototype.createBuffer;
        GPUDevice.prototype.createBuffer = function (descriptor) {
            const buffer = create.call(this, descriptor);
            sizes.set(buffer, descriptor.size);
            collected.register(buffer, descriptor.size, buffer);
            spied.gpu += descriptor.size;
            spied.buffers += 1;
            spied.largest = Math.max(spied.largest, descriptor.size);
            return buffer;
        };
        const destroy = GPUBuffer.prototype.destroy;
        GPUBuffer.prototype.destroy = function () {
            if (sizes.has(this)) {
                collected.unregister(this);
                free(sizes.get(this));
                sizes.delete(this);
            }
            return destroy.call(this);
        };
        const request = GPUAdapter.prototype.requestDevice;
        GPUAdapter.prototype.requestDevice = async function (descriptor) {
            spied.limit = this.limits.maxStorageBufferBindingSize;
            spied.device = await request.call(this, descriptor);
            spied.asked = spied.device.limits.maxStorageBufferBindingSize;
            return spied.device;
        };
    }
    const helpers = [];
    self.Worker = class extends Worker {
        constructor(...given) {
            super(...given);
            helpers.push(this);
        }
    };
    const spyChannel = new BroadcastChannel('spy');
    spyChannel.onmessage = async ({ data }) => {
        if (data.question === 'module') {
            spyChannel.postMessage({ module: spied.wasm?.buffer.byteLength ?? 0 });
        } else if (self.name !== 'engine') {
            return;
        } else if (data.question === 'lose helper') {
            const helper = helpers.shift();
            helper?.terminate();
            helper?.dispatchEvent(new ErrorEvent('error', { message: 'killed by the test', cancelable: true }));
            spyChannel.postMessage({ lost: helper !== undefined });
        } else if (data.question === 'memory') {
            // buffers that were read from are free once the browser has collected them
            gc();
            await new Promise(done => setTimeout(done, 100));
            const { gpu, buffers, largest, limit, asked } = spied;
            spyChannel.postMessage({ wasm: spied.wasm.buffer.byteLength, gpu, buffers, largest, limit, asked });
        } else if (data.question === 'lose') {
            spied.device.destroy();
            spyChannel.postMessage({ lost: true });
        }
    };
";

/// The worker's memory in bytes.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Memory {
    /// Of the WebAssembly module.
    pub(crate) wasm: f64,
    /// Of all GPU buffers.
    pub(crate) gpu: f64,
    /// How many GPU buffers.
    pub(crate) buffers: f64,
    /// Of the largest GPU buffer so far.
    pub(crate) largest: f64,
    /// The largest binding that the adapter allows.
    pub(crate) limit: f64,
    /// The largest binding that the device has.
    pub(crate) asked: f64,
}

/// Puts the scripts in front of the page's, from the next visit on. `before` runs in page and worker.
pub(crate) fn install(page: &Page, before: &str) -> Result<()> {
    let read =
        |name: &str| fs::read_to_string(page.site().folder().join(name)).with_context(|| name.to_owned());
    let index = read("index.html")?.replacen("<head>", "<head><script src=\"spy.js\"></script>", 1);
    // either engine may be the one that is asked
    let mut loaders = Vec::new();
    for name in ["worker_cpu_loader.js", "worker_gpu_loader.js"] {
        loaders.push((name, format!("{before}{IN_WORKER}{}", read(name)?)));
    }
    let script = format!("{before}{IN_PAGE}");
    page.server().set_faults(move |path| match path {
        "" => Some(Fault::ReplaceBody(index.clone().into_bytes())),
        "spy.js" => Some(Fault::ReplaceBody(script.clone().into_bytes())),
        path => {
            let (_, loader) = loaders.iter().find(|(name, _)| *name == path)?;
            Some(Fault::ReplaceBody(loader.clone().into_bytes()))
        }
    });
    Ok(())
}

/// The worker's memory now.
pub(crate) async fn memory(page: &Page) -> Result<Memory> {
    let answer = ask(page, "memory").await?;
    serde_json::from_value(answer).context("the worker told no memory")
}

/// Bytes of the page's module and of those of all its workers, the page's first.
pub(crate) async fn modules(page: &Page) -> Result<Vec<f64>> {
    let answer = page.execute_async("modules().then(arguments[0])", vec![]).await?;
    serde_json::from_value(answer).context("the modules told no memory")
}

/// Ends a helper of the worker as a crash does; whether there was one.
pub(crate) async fn lose_helper(page: &Page) -> Result<bool> {
    Ok(ask(page, "lose helper").await?["lost"] == true)
}

/// Takes the GPU away from the worker.
pub(crate) async fn lose_gpu(page: &Page) -> Result<()> {
    ask(page, "lose").await.map(|_| ())
}

/// Ends the worker as a crash does.
pub(crate) async fn kill_worker(page: &Page) -> Result<()> {
    page.execute("killWorker()", vec![]).await.map(|_| ())
}

async fn ask(page: &Page, question: &str) -> Result<serde_json::Value> {
    let script = "ask(arguments[0]).then(arguments[1])";
    page.execute_async(script, vec![json!(question)]).await
}
