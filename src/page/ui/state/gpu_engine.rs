//! The engine for GPUs is the larger one and may not be there yet: `cargo xtask demo` serves the page before it
//! is built. Then the engine for the CPU goes on, and the page asks again now and then.

use super::{Engine, Load, State, Step};
use crate::page::protocol::BackendChoice;

const MISSING: &str =
    "This needs the engine for GPUs, which is still being built: it starts as soon as it is there.";

/// What is known about the engine for GPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GpuEngine {
    /// Nothing: the page asks when it wants it.
    #[default]
    Unknown,
    /// The page has asked.
    Asked,
    /// It is not there yet.
    Absent,
}

impl State {
    /// A step of the GPU engine, or first of all to ask for that; nothing while it is not there.
    pub(super) fn whole_for(&self, step: Step) -> Option<Step> {
        if self.whole {
            Some(step)
        } else {
            self.ask_for_gpu_engine()
        }
    }

    pub(super) fn ask_for_gpu_engine(&self) -> Option<Step> {
        (self.gpu_engine == GpuEngine::Unknown).then_some(Step::Outgrow)
    }

    /// Whether the first results are there, so that the engine for the GPU may take its time.
    pub(super) fn is_gpu_due(&self) -> bool {
        let waits = self.device.as_ref().is_some_and(|device| device.gpu_waits);
        let wanted = waits || self.backend == BackendChoice::Webgpu;
        wanted && !self.whole && !self.times.is_empty() && self.working.is_none()
    }

    /// What the engine is told to compute on: without the GPU engine there is no WebGPU.
    pub(super) fn backend_of_engine(&self) -> BackendChoice {
        if self.backend == BackendChoice::Webgpu && !self.whole {
            BackendChoice::Auto
        } else {
            self.backend
        }
    }

    /// Whether the GPU engine is there, as the server says.
    pub(super) fn hear_of_gpu_engine(&mut self, is_there: bool) {
        if is_there {
            // found later than asked for: the next step asks again if it is still wanted
            let asked = std::mem::take(&mut self.gpu_engine) == GpuEngine::Asked;
            if asked && !self.whole {
                self.outgrow();
            }
            return;
        }
        let was_for_a_step = !self.is_gpu_due();
        self.gpu_engine = GpuEngine::Absent;
        if self.whole && self.engine == Engine::Starting {
            // chosen by the visitor or the address
            self.whole = false;
            self.restart();
        } else if self.outgrown {
            self.outgrown = false;
            self.load_without_gpu_engine();
        } else if was_for_a_step {
            self.notify(MISSING);
        }
    }

    /// The CPU engine cannot do what it was told to.
    pub(super) fn hear_outgrown(&mut self) {
        if self.gpu_engine == GpuEngine::Absent {
            self.load_without_gpu_engine();
        } else {
            self.outgrown = true;
        }
    }

    fn load_without_gpu_engine(&mut self) {
        if let Load::Running { source, .. } = &self.load {
            let source = source.clone();
            self.load_failed(source, MISSING.into());
        } else {
            self.notify(MISSING);
        }
    }
}
