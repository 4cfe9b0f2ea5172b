//! One network wherever it is computed, for methods that are not made of teacher and student.

use destseg_kernels::Grid;
use destseg_kernels::pool::Pool;

use super::cpu::Program;
use super::device::Device;
use crate::Result;
use crate::arch::graph::Graph;
use crate::arch::weights::Weights;

#[cfg(not(target_family = "wasm"))]
pub use training::TrainedNetwork;

/// A network for inference.
#[derive(Debug)]
pub enum FrozenNetwork {
    /// With the memory of its maps.
    Cpu(Box<(Program, Pool)>),
    /// With its device.
    #[cfg(feature = "burn")]
    Burn(Box<(super::burn::Part, burn::tensor::Device)>),
}

impl FrozenNetwork {
    /// The network of a graph with these weights, which have no prefix.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) naming a missing or misshapen tensor.
    pub fn new(graph: &Graph, weights: &Weights, device: &Device) -> Result<Self> {
        Ok(match device {
            Device::Cpu => Self::Cpu(Box::new((Program::new(graph, weights)?, Pool::default()))),
            #[cfg(feature = "burn")]
            Device::Burn(device) => {
                let part = super::burn::Part::load(graph, weights, device)?;
                Self::Burn(Box::new((part, device.clone())))
            }
        })
    }

    /// What the network gives for these maps.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device was lost.
    pub async fn run(&self, inputs: &[&Grid]) -> Result<Vec<Grid>> {
        match self {
            Self::Cpu(own) => Ok(own.0.run(inputs, &own.1)),
            #[cfg(feature = "burn")]
            Self::Burn(own) => own.0.maps(inputs, &own.1).await,
        }
    }
}

/// Only the command line trains such methods.
#[cfg(not(target_family = "wasm"))]
mod training {
    use std::sync::Arc;

    use super::{Device, Graph, Grid, Pool, Result, Weights};
    use crate::arch::weights::Array;
    use crate::backend::cpu;
    use crate::backend::optimiser::{Rule, StepSize};

    /// A network that is trained. Its loss is computed on the CPU whatever the device is, so there is one of it.
    #[derive(Debug)]
    pub enum TrainedNetwork {
        /// With the memory of a step.
        Cpu(Box<(cpu::Part, Arc<Pool>)>),
        /// With its device.
        #[cfg(feature = "burn")]
        Burn(Box<(crate::backend::burn::Trained, burn::tensor::Device)>),
    }

    impl TrainedNetwork {
        /// The network of a graph with first weights, which have no prefix.
        pub fn new(graph: &Graph, weights: Weights, rule: Rule, device: &Device) -> Self {
            let mut network = match device {
                Device::Cpu => Self::Cpu(Box::new((cpu::Part::new(graph, rule), Arc::default()))),
                #[cfg(feature = "burn")]
                Device::Burn(device) => {
                    let trained = crate::backend::burn::Trained::new(graph.clone(), rule, device);
                    Self::Burn(Box::new((trained, device.clone())))
                }
            };
            network.set_weights(weights);
            network
        }

        /// Takes other weights, which were checked.
        pub fn set_weights(&mut self, weights: Weights) {
            match self {
                Self::Cpu(own) => own.0.weights = weights,
                #[cfg(feature = "burn")]
                Self::Burn(own) => own.0.set_weights(&weights, &own.1),
            }
        }

        /// Replaces one tensor, which keeps its shape.
        pub fn set_tensor(&mut self, name: &str, array: Array) {
            match self {
                Self::Cpu(own) => own.0.weights.insert(name.to_owned(), array),
                #[cfg(feature = "burn")]
                Self::Burn(own) => own.0.set_tensor(name, &array, &own.1),
            }
        }

        /// A step on a batch for each input. `loss` is shown the batches of the network's outputs and gives, beside what it
        /// says of them, their gradients.
        ///
        /// # Errors
        /// [`Error::Device`](crate::Error::Device) if the device was lost.
        pub async fn step<T>(
            &mut self,
            inputs: Vec<Vec<Grid>>,
            size: StepSize,
            loss: impl FnOnce(&[&[Grid]]) -> (T, Vec<Vec<Grid>>),
        ) -> Result<T> {
            match self {
                Self::Cpu(own) => {
                    let (part, pool) = &mut **own;
                    let inputs = inputs.into_iter().map(Into::into).collect();
                    part.step(pool, inputs, size, |outputs| {
                        let outputs: Vec<&[Grid]> = outputs.iter().map(|&output| &**output).collect();
                        let (said, gradients) = loss(&outputs);
                        (said, gradients.into_iter().map(Into::into).collect())
                    })
                }
                #[cfg(feature = "burn")]
                Self::Burn(own) => {
                    let (trained, device) = &mut **own;
                    trained.step(&inputs, size, device, loss).await
                }
            }
        }

        /// The weights as they are now.
        ///
        /// # Errors
        /// [`Error::Device`](crate::Error::Device) if the device was lost.
        pub async fn weights(&self) -> Result<Weights> {
            match self {
                Self::Cpu(own) => Ok(own.0.weights.clone()),
                #[cfg(feature = "burn")]
                Self::Burn(own) => own.0.weights("").await,
            }
        }
    }
}
