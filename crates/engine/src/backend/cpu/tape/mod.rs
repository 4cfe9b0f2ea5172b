//! Training steps on the CPU's own kernels. A step runs a network on a batch, operation by operation, and then back
//! through them.

mod batch;
mod losses;
mod operations;
#[cfg(all(test, feature = "burn"))]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use destseg_kernels::for_each;
use destseg_kernels::pool::Pool;

use crate::Result;
use crate::arch::graph::{Graph, Op, Value};
use crate::arch::weights::{Array, Weights};

pub use batch::Batch;
pub use losses::{cosine, focal_and_l1};

/// The recorded result of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry(usize);

/// Takes the gradient with respect to an operation's result on to its operands and weights.
type Backward = Box<dyn FnOnce(&[Batch], Batch, &mut Gradients)>;

/// A network's run in training mode.
pub struct Tape<'a> {
    /// Without the prefix of the network.
    weights: &'a Weights,
    /// The memory of all grids.
    pool: Arc<Pool>,
    values: Vec<Batch>,
    /// None for what needs no gradient.
    backward: Vec<Option<Backward>>,
    /// Running statistics as they are after this batch.
    statistics: Weights,
}

/// What a step says about a network's weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Gradients of the loss by the names of the weights.
    pub gradients: Weights,
    /// Running statistics after the batch.
    pub statistics: Weights,
}

/// Gradients of a loss.
#[derive(Default)]
struct Gradients {
    of_values: BTreeMap<usize, Batch>,
    of_weights: Weights,
}

impl<'a> Tape<'a> {
    /// An empty tape for a network with these weights.
    pub fn new(weights: &'a Weights, pool: &Arc<Pool>) -> Self {
        Self {
            weights,
            pool: Arc::clone(pool),
            values: Vec::new(),
            backward: Vec::new(),
            statistics: Weights::default(),
        }
    }

    /// Runs a network on what comes from outside, which needs no gradient; the result are the network's outputs.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) naming a missing or misshapen tensor.
    pub fn run(&mut self, graph: &Graph, inputs: Vec<Batch>) -> Result<Vec<Entry>> {
        let mut inputs = inputs.into_iter();
        let mut entries: Vec<Entry> = Vec::with_capacity(graph.len());
        for (_, node) in graph.nodes() {
            let of = |i: usize| entries[node.inputs[i].index()];
            let [height, width, _] = node.size;
            let entry = match &node.op {
                Op::Input => {
                    let batch = inputs.next().unwrap_or_else(|| Vec::new().into());
                    self.push(batch, None)
                }
                Op::Conv(conv) => self.conv(of(0), conv)?,
                Op::ConvTranspose(conv) => self.conv_transpose(of(0), conv, [height, width])?,
                Op::BatchNorm { name, activation } => self.batch_norm(of(0), name, *activation)?,
                Op::InstanceNorm => self.instance_norm(of(0)),
                Op::Activation(activation) => self.activation(of(0), *activation),
                Op::Add(activation) => self.add(of(0), of(1), *activation),
                Op::MaxPool(pool) => self.max_pool(of(0), *pool, [height, width]),
                Op::Resize(corners) => self.resize(of(0), *corners, [height, width]),
                Op::Mean => self.mean(of(0)),
                Op::Expand => self.expand(of(0), [height, width]),
                Op::Concat => {
                    let parts: Vec<Entry> = node.inputs.iter().map(|input| entries[input.index()]).collect();
                    self.concat(parts)
                }
                Op::Softmax => self.softmax(of(0)),
                Op::NearestCode { name, .. } => self.nearest_code(of(0), name)?,
            };
            entries.push(entry);
        }
        let entry = |value: &Value| entries[value.index()];
        Ok(graph.outputs().iter().map(entry).collect())
    }

    /// Grids for the result of an operation on `input`.
    fn grids(&self, input: Entry, size: [usize; 3]) -> Batch {
        Batch::take(&self.pool, self.value(input).len(), size)
    }

    fn push(&mut self, value: Batch, backward: Option<Backward>) -> Entry {
        self.values.push(value);
        self.backward.push(backward);
        Entry(self.values.len() - 1)
    }

    /// A recorded result.
    pub fn value(&self, entry: Entry) -> &Batch {
        &self.values[entry.0]
    }

    /// Whether gradients with respect to this are wanted.
    fn is_tracked(&self, entry: Entry) -> bool {
        self.backward[entry.0].is_some()
    }

    /// The backward pass: what a loss with these gradients with respect to some results changes.
    pub fn backward(mut self, gradients: Vec<(Entry, Batch)>) -> Changes {
        let mut all = Gradients::default();
        for (entry, gradient) in gradients {
            all.add(entry, gradient);
        }
        for at in (0..self.values.len()).rev() {
            if let Some(gradient) = all.of_values.remove(&at)
                && let Some(backward) = self.backward[at].take()
            {
                backward(&self.values, gradient, &mut all);
            }
            // no earlier operation looks at it
            self.values.truncate(at);
        }
        Changes {
            gradients: all.of_weights,
            statistics: self.statistics,
        }
    }
}

impl Gradients {
    fn add(&mut self, entry: Entry, gradient: Batch) {
        match self.of_values.get_mut(&entry.0) {
            Some(sums) => {
                for_each(sums.iter_mut().zip(gradient.iter()), |(sum, own)| {
                    let values = sum.data.iter_mut().zip(&own.data);
                    values.for_each(|(sum, own)| *sum += own);
                });
            }
            None => {
                self.of_values.insert(entry.0, gradient);
            }
        }
    }

    fn set(&mut self, name: String, shape: &[usize], data: Vec<f32>) {
        let shape = shape.to_vec();
        self.of_weights.insert(name, Array { shape, data });
    }

    /// Sets the gradient of some columns of a matrix of `[rows, width]`, whose other columns other operations set.
    fn set_columns(&mut self, name: String, shape: &[usize], first: usize, data: &[f32]) {
        let rows = shape[0];
        let (width, own) = (shape[1..].iter().product::<usize>(), data.len() / rows.max(1));
        let mut all = match self.of_weights.take(&name) {
            Some(array) => array,
            None => Array {
                shape: shape.to_vec(),
                data: vec![0.0; rows * width],
            },
        };
        for (to, from) in all.data.chunks_exact_mut(width).zip(data.chunks_exact(own)) {
            to[first..first + own].copy_from_slice(from);
        }
        self.of_weights.insert(name, all);
    }
}
