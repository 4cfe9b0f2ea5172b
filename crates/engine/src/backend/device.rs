//! Choosing where to compute.

use serde::{Deserialize, Serialize};

use crate::platform::probe_gpu;
use crate::{Error, Result};

/// Where the engine computes, as the visitor chooses it (menu, or `?backend=` in the address).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendChoice {
    /// WebGPU on a real adapter, else the CPU.
    #[default]
    Auto,
    /// Kernels of our own on the CPU.
    Cpu,
    /// WebGPU, software adapters included.
    Webgpu,
}

impl BackendChoice {
    /// All choices, in the order of the menu.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Cpu, Self::Webgpu];

    /// The name used in the address and in storage.
    pub fn id(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Webgpu => "webgpu",
        }
    }

    /// The choice with this [`id`](Self::id).
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.id() == id)
    }
}

/// The device the engine computes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Never [`BackendChoice::Auto`].
    pub backend: BackendChoice,
    /// Adapter name for WebGPU, "1 thread, SIMD" for the CPU.
    pub adapter: String,
    /// Whether the adapter is software (`SwiftShader`, lavapipe): slower than the CPU backend.
    pub software: bool,
    /// Whether there is a graphics adapter that only a build with Burn can use.
    #[serde(default)]
    pub gpu_waits: bool,
    /// Bytes of the largest tensor that it takes; none where only memory limits it.
    pub largest_tensor: Option<u64>,
    /// Why the device is not the one the visitor might expect.
    pub notice: Option<String>,
}

/// Where networks are computed.
#[derive(Debug, Clone, PartialEq)]
pub enum Device {
    /// On the CPU, by kernels of our own.
    Cpu,
    /// On a device of Burn's, without autodiff: a GPU, in tests also Burn's own CPU backend.
    #[cfg(feature = "burn")]
    Burn(burn::tensor::Device),
}

/// Whether this build can use a GPU at all.
const HAS_GPU_BACKEND: bool = cfg!(feature = "burn");

/// An opened device and what to tell about it.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The device.
    pub device: Device,
    /// Its description.
    pub info: DeviceInfo,
}

/// Opens the device of `choice`. `Auto` takes the GPU unless it is missing or software, and then
/// says why it took the CPU; so does [`BackendChoice::Webgpu`] where there is no GPU at all.
///
/// # Errors
/// [`Error::Device`] if the GPU was asked for by a program that cannot show a notice (natively).
pub async fn select(choice: BackendChoice) -> Result<Selected> {
    if choice == BackendChoice::Cpu {
        return Ok(cpu(None));
    }
    let probe = probe_gpu().await;
    if let Some(obstacle) = probe.obstacle {
        return fall_back(choice, &obstacle);
    }
    if probe.software && choice == BackendChoice::Auto {
        return fall_back(choice, &software_reason(&probe.name));
    }
    if !HAS_GPU_BACKEND {
        let mut selected = cpu(None);
        selected.info.gpu_waits = true;
        return Ok(selected);
    }
    match open_gpu().await {
        Ok(Opened {
            device,
            name,
            software,
            largest_tensor,
        }) => {
            let adapter = if probe.name.is_empty() { name } else { probe.name };
            let software = software || probe.software;
            if software && choice == BackendChoice::Auto {
                return fall_back(choice, &software_reason(&adapter));
            }
            let notice = software.then(|| {
                format!("{adapter} is a software adapter: expect it to be slower than the CPU backend")
            });
            let info = DeviceInfo {
                backend: BackendChoice::Webgpu,
                adapter,
                software,
                gpu_waits: false,
                largest_tensor: Some(largest_tensor),
                notice,
            };
            Ok(Selected { device, info })
        }
        Err(reason) => fall_back(choice, &reason),
    }
}

fn software_reason(adapter: &str) -> String {
    format!("the only graphics adapter ({adapter}) is software, slower than the CPU")
}

fn fall_back(choice: BackendChoice, reason: &str) -> Result<Selected> {
    // a command line asked for the GPU must not silently do something else
    if choice == BackendChoice::Webgpu && !cfg!(target_family = "wasm") {
        return Err(Error::Device(format!(
            "no GPU can be used ({reason}): try --device cpu"
        )));
    }
    Ok(cpu(Some(format!("Computing on the CPU: {reason}."))))
}

fn cpu(notice: Option<String>) -> Selected {
    let threads = destseg_kernels::threads();
    let adapter = if threads == 1 {
        "1 thread, SIMD".to_owned()
    } else {
        format!("{threads} threads, SIMD")
    };
    let info = DeviceInfo {
        backend: BackendChoice::Cpu,
        adapter,
        software: false,
        gpu_waits: false,
        largest_tensor: None,
        notice,
    };
    Selected {
        device: Device::Cpu,
        info,
    }
}

/// A wgpu device and what its adapter says of itself.
struct Opened {
    device: Device,
    name: String,
    software: bool,
    /// In bytes.
    largest_tensor: u64,
}

/// Opens the wgpu device. Burn asks for all that the adapter allows, so its limits are the device's.
#[cfg(feature = "burn")]
async fn open_gpu() -> std::result::Result<Opened, String> {
    use burn::tensor::wgpu::wgpu::DeviceType;

    // few large submissions: a browser's queue is slow to hand over
    const TASKS: usize = 64;
    let (device, setup) = burn::tensor::Device::wgpu_options()
        .tasks_max(TASKS)
        .init_with_setup_async()
        .await
        .map_err(|err| format!("the graphics adapter cannot be opened: {err}"))?;
    let info = setup.adapter.get_info();
    let limits = setup.adapter.limits();
    Ok(Opened {
        device: Device::Burn(device),
        name: info.name,
        software: info.device_type == DeviceType::Cpu,
        largest_tensor: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
    })
}

#[cfg(not(feature = "burn"))]
async fn open_gpu() -> std::result::Result<Opened, String> {
    Err("this build has no GPU backend".into())
}
