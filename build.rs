//! What the linker must be told.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        // unless they can be called by name, wasm-ld has all constructors of statics run at every call from JavaScript:
        // CubeCL has thousands, which take 2 ms
        for engine in ["worker_cpu", "worker_gpu"] {
            println!("cargo::rustc-link-arg-bin={engine}=--export=__wasm_call_ctors");
        }
    }
}
