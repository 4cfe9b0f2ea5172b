//! A network that is trained on the CPU.

use std::sync::Arc;

use destseg_kernels::pool::Pool;

use super::Optimiser;
use super::tape::{Batch, Tape};
use crate::Result;
use crate::arch::graph::Graph;
use crate::arch::weights::Weights;
use crate::arch::{self, narrow_before_resizing};
use crate::backend::optimiser::{Rule, StepSize};

/// A network, its weights and its optimiser.
#[derive(Debug)]
pub struct Part {
    graph: Graph,
    /// Without the prefix of the network.
    pub weights: Weights,
    pub(super) optimiser: Optimiser,
}

impl Part {
    /// A network without weights.
    pub fn new(graph: &Graph, rule: Rule) -> Self {
        Self {
            weights: arch::init::zeros(graph),
            graph: narrow_before_resizing(graph),
            optimiser: Optimiser::new(rule),
        }
    }

    /// A step on a batch for each input. `loss` is shown the batches of the network's outputs and gives, beside what it
    /// says of them, their gradients.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) for a missing tensor, which no checked weights have.
    pub fn step<T>(
        &mut self,
        pool: &Arc<Pool>,
        inputs: Vec<Batch>,
        size: StepSize,
        loss: impl FnOnce(&[&Batch]) -> (T, Vec<Batch>),
    ) -> Result<T> {
        let mut tape = Tape::new(&self.weights, pool);
        let outputs = tape.run(&self.graph, inputs)?;
        let shown: Vec<&Batch> = outputs.iter().map(|&output| tape.value(output)).collect();
        let (said, gradients) = loss(&shown);
        let changes = tape.backward(outputs.into_iter().zip(gradients).collect());
        self.weights.extend(changes.statistics);
        self.optimiser.step(size, &mut self.weights, &changes.gradients);
        Ok(said)
    }
}
