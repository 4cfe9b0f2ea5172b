//! When the page changes from the CPU engine to the GPU engine. The GPU engine is the larger one, and it may not be there
//! yet: `cargo xtask demo` serves the page before it is built. Then the CPU engine keeps working, and the page asks again
//! every now and then.

use super::{Engine, Job, State};
use crate::page::protocol::BackendChoice;

/// What is known about the files of the GPU engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GpuEngineFiles {
    /// Nothing: the page asks when it wants them.
    #[default]
    Unknown,
    /// The page has asked.
    Asked,
    /// They are not there yet.
    Absent,
}

impl State {
    /// Long work, for which the GPU engine comes first where a graphics card waits.
    pub(super) fn on_best_engine(&self, job: Job) -> Option<Job> {
        if !self.does_gpu_wait() {
            return Some(job);
        }
        match self.gpu_engine_files {
            GpuEngineFiles::Unknown => Some(Job::SwitchToGpuEngine),
            GpuEngineFiles::Asked => None,
            GpuEngineFiles::Absent => Some(job),
        }
    }

    /// Whether there is a graphics card that only the GPU engine can use. A training is not interrupted for it.
    fn does_gpu_wait(&self) -> bool {
        let waits = self.device.as_ref().is_some_and(|device| device.gpu_waits);
        let wanted = waits || self.backend == BackendChoice::Webgpu;
        wanted && !self.gpu_engine && !self.train.is_training()
    }

    /// Whether the first results are there, so that the engine for the GPU may take its time.
    pub(super) fn is_gpu_due(&self) -> bool {
        let is_idle = !self.times.is_empty() && self.working.is_empty();
        self.does_gpu_wait() && is_idle && self.gpu_engine_files == GpuEngineFiles::Unknown
    }

    /// What the engine is told to compute on: without the GPU engine there is no WebGPU.
    pub(super) fn backend_of_engine(&self) -> BackendChoice {
        match self.backend {
            BackendChoice::Webgpu if !self.gpu_engine => BackendChoice::Auto,
            backend => backend,
        }
    }

    /// The server says whether the files of the GPU engine are there.
    pub(super) fn on_gpu_engine_files(&mut self, are_there: bool) {
        if are_there {
            // found later than asked for: the next job asks again if the engine is still wanted
            let asked = std::mem::take(&mut self.gpu_engine_files) == GpuEngineFiles::Asked;
            if asked && self.does_gpu_wait() {
                self.switch_to_gpu_engine();
            }
            return;
        }
        self.gpu_engine_files = GpuEngineFiles::Absent;
        if self.gpu_engine && self.engine == Engine::Starting {
            // chosen by the visitor or the address
            self.gpu_engine = false;
            self.restart();
        }
    }
}
