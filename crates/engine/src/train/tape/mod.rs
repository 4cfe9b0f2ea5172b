//! Training steps on the CPU's own kernels: what Burn's autodiff does on every other device, for the few layers
//! that the networks have. A step runs the network on a batch, layer by layer, and then back through them; the
//! optimisers are Burn's in either case.

mod batch;
mod layers;
mod losses;
mod networks;
#[cfg(all(test, feature = "burn"))]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use destseg_kernels::for_each;
use destseg_kernels::pool::Pool;

use crate::model::names::param_id;
use crate::model::weights::{Array, Weights};

pub(super) use batch::Batch;
pub(super) use losses::{cosine, focal_and_l1};

/// What a layer gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node(usize);

/// Takes the gradient with respect to a layer's output on to its inputs and weights.
type Back = Box<dyn FnOnce(&[Batch], Batch, &mut Slopes)>;

/// A network's run in training mode.
pub(super) struct Tape<'a> {
    /// Without the prefix of the network.
    weights: &'a Weights,
    /// The memory of all grids.
    pool: Arc<Pool>,
    values: Vec<Batch>,
    backs: Vec<Option<Back>>,
    /// Running statistics as they are after this batch.
    statistics: Weights,
}

/// Gradients of a loss.
#[derive(Default)]
struct Slopes {
    of_nodes: BTreeMap<usize, Batch>,
    of_weights: Weights,
}

impl<'a> Tape<'a> {
    pub(super) fn new(weights: &'a Weights, pool: &Arc<Pool>) -> Self {
        Self {
            weights,
            pool: Arc::clone(pool),
            values: Vec::new(),
            backs: Vec::new(),
            statistics: Weights::default(),
        }
    }

    /// What comes from outside and needs no gradient.
    pub(super) fn input(&mut self, batch: impl Into<Batch>) -> Node {
        self.push(batch.into(), None)
    }

    /// Grids for what a layer makes of `input`.
    fn grids(&self, input: Node, size: [usize; 3]) -> Batch {
        Batch::take(&self.pool, self.value(input).len(), size)
    }

    fn push(&mut self, value: Batch, back: Option<Back>) -> Node {
        self.values.push(value);
        self.backs.push(back);
        Node(self.values.len() - 1)
    }

    pub(super) fn value(&self, node: Node) -> &Batch {
        &self.values[node.0]
    }

    /// Whether gradients with respect to this are wanted.
    fn is_tracked(&self, node: Node) -> bool {
        self.backs[node.0].is_some()
    }

    /// The running statistics after this batch, and the gradients with respect to all weights of a loss with these
    /// gradients with respect to some nodes.
    pub(super) fn backward(mut self, slopes: Vec<(Node, Batch)>) -> (Weights, Weights) {
        let mut all = Slopes::default();
        for (node, slopes) in slopes {
            all.add(node, slopes);
        }
        for at in (0..self.values.len()).rev() {
            if let Some(slopes) = all.of_nodes.remove(&at)
                && let Some(back) = self.backs[at].take()
            {
                back(&self.values, slopes, &mut all);
            }
            // no earlier layer looks at it
            self.values.truncate(at);
        }
        let mut of_weights = all.of_weights;
        join_squeeze(&mut of_weights);
        (self.statistics, of_weights)
    }
}

impl Slopes {
    fn add(&mut self, node: Node, slopes: Batch) {
        match self.of_nodes.get_mut(&node.0) {
            Some(sums) => {
                for_each(sums.iter_mut().zip(slopes.iter()), |(sum, own)| {
                    let values = sum.data.iter_mut().zip(&own.data);
                    values.for_each(|(sum, own)| *sum += own);
                });
            }
            None => {
                self.of_nodes.insert(node.0, slopes);
            }
        }
    }

    fn set(&mut self, name: String, shape: &[usize], data: Vec<f32>) {
        let shape = shape.to_vec();
        self.of_weights.insert(name, Array { shape, data });
    }
}

/// Puts together the gradients of the parts into which the squeezing convolution was taken apart.
fn join_squeeze(of_weights: &mut Weights) {
    const NAME: &str = "squeeze.conv.weight";
    let parts = of_weights.take_prefix("squeeze.conv.weight.");
    let parts: Vec<&Array> = parts.iter().map(|(_, part)| part).collect();
    let Some(outputs) = parts.first().map(|part| part.shape[0]) else {
        return;
    };
    let inputs = parts.iter().map(|part| part.shape[1]).sum();
    let row = |output: usize| {
        parts
            .iter()
            .flat_map(move |part| &part.data[output * part.shape[1]..][..part.shape[1]])
    };
    let data = (0..outputs).flat_map(row).copied().collect();
    let shape = vec![outputs, inputs, 1, 1];
    of_weights.insert(NAME.to_owned(), Array { shape, data });
}

/// Gradients of the weights whose names start with `prefix`, as Burn's optimisers take them.
pub(super) fn gradients(of_weights: &Weights, device: &Device) -> GradientsParams {
    let mut gradients = GradientsParams::new();
    for (name, Array { shape, data }) in of_weights.iter() {
        let (id, data) = (param_id(name), TensorData::new(data.clone(), shape.clone()));
        match shape.len() {
            4 => gradients.register(id, Tensor::<4>::from_data(data, device)),
            _ => gradients.register(id, Tensor::<1>::from_data(data, device)),
        }
    }
    gradients
}
