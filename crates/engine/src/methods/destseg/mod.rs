//! `DeSTSeg` (Zhang et al., CVPR 2023): a denoising student and a segmentation network.
//!
//! Its networks are [`arch::student`](crate::arch::student), [`arch::segmentation`](crate::arch::segmentation) and the
//! teachers; its training is [`train`](crate::train).

use super::file::ModelFile;
use super::{Entry, Info};
use crate::Result;
use crate::arch::weights::Weights;
use crate::backend::device::Device;
use crate::config::Method;
use crate::inspect::{Detector, InputSettings, Network};

/// The method in words.
pub const INFO: Info = Info {
    method: Method::Destseg,
    explanation: "A student network learns to repair what a frozen teacher network sees of painted defects, and a \
                  segmentation network turns their disagreement into a map.",
    has_student: true,
    // its trainings have settings, previews and checkpoints of their own
    baseline: None,
};

/// The method with its code.
pub const ENTRY: Entry = Entry {
    info: INFO,
    baseline: None,
};

/// The networks of a file, which STPM shares.
pub(super) fn detector(file: &ModelFile, teacher: Option<&Weights>, device: &Device) -> Result<Detector> {
    let config = file.header.networks()?;
    let teacher = file.teacher_or(teacher)?;
    let network: Box<dyn Network> = match device {
        Device::Cpu => {
            use crate::backend::cpu::{CpuModel, CpuTeacher};
            let teacher = CpuTeacher::new(config.teacher, &teacher, config.input_size)?;
            Box::new(CpuModel::new(config, teacher.into(), &file.weights)?)
        }
        #[cfg(feature = "burn")]
        Device::Burn(device) => Box::new(crate::backend::burn::BurnModel::new(
            config,
            &teacher,
            &file.weights,
            device,
        )?),
    };
    let calibration = file.header.calibration.clone();
    let detector = Detector::new(network, InputSettings::of(config), config.method, calibration);
    Ok(detector
        .with_familiarity(file.familiarity()?)
        .with_codebook(file.codebook()?))
}
