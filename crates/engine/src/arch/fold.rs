//! Batch normalisation by running statistics, folded into the convolution before it: the same function, in one pass over
//! the data instead of two.

use super::BATCH_NORM_EPSILON;
use super::graph::{Graph, Op, Value};
use super::weights::{Array, Weights};
use crate::Result;

/// The network for inference: every convolution that only a batch normalisation follows becomes one convolution with
/// bias. `weights` are the network's, without a prefix.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) naming a missing tensor.
pub fn fold(graph: &Graph, weights: &Weights) -> Result<(Graph, Weights)> {
    let (graph, pairs) = fold_graph(graph);
    let mut folded = weights.clone();
    for (conv, norm) in &pairs {
        fold_one(&mut folded, conv, norm)?;
    }
    Ok((graph, folded))
}

/// The graph of [`fold`], and the names of the convolutions and normalisations that became one.
pub fn fold_graph(graph: &Graph) -> (Graph, Vec<(String, String)>) {
    let mut pairs = Vec::new();
    let uses = graph.uses();
    let mut result = Graph::default();
    // where each value of the old graph is in the new one; none for a convolution that waits for its normalisation
    let mut values: Vec<Option<Value>> = Vec::new();
    let normalised: Vec<Value> = graph
        .nodes()
        .filter(|(_, node)| matches!(node.op, Op::BatchNorm { .. }))
        .map(|(_, node)| node.inputs[0])
        .collect();
    for (value, node) in graph.nodes() {
        let waits = |value: Value| {
            matches!(graph.node(value).op, Op::Conv(_))
                && uses[value.index()] == 1
                && normalised.contains(&value)
        };
        if waits(value) {
            values.push(None);
            continue;
        }
        let (op, inputs) = match &node.op {
            Op::BatchNorm { name, activation } if waits(node.inputs[0]) => {
                let before = graph.node(node.inputs[0]);
                let Op::Conv(conv) = &before.op else {
                    unreachable!("only convolutions wait")
                };
                pairs.push((conv.name.clone(), name.clone()));
                let mut conv = conv.clone();
                (conv.bias, conv.activation) = (true, *activation);
                (Op::Conv(conv), &before.inputs)
            }
            op => (op.clone(), &node.inputs),
        };
        let inputs = inputs.iter().filter_map(|input| values[input.index()]).collect();
        values.push(Some(result.copy(op, inputs, node.size)));
    }
    let outputs: Vec<Value> = graph
        .outputs()
        .iter()
        .filter_map(|output| values[output.index()])
        .collect();
    (result.with_outputs(outputs), pairs)
}

/// Scales the weights of `conv` and makes the rest of `norm` its bias.
fn fold_one(weights: &mut Weights, conv: &str, norm: &str) -> Result<()> {
    let part = |part: &str| Ok::<_, crate::Error>(weights.get(&format!("{norm}.{part}"))?.data.clone());
    let (gamma, beta) = (part("weight")?, part("bias")?);
    let (mean, variance) = (part("running_mean")?, part("running_var")?);
    let (weight_name, bias_name) = (format!("{conv}.weight"), format!("{conv}.bias"));
    let mut weight = weights.get(&weight_name)?.clone();
    let mut bias = match weights.get(&bias_name) {
        Ok(bias) => bias.clone(),
        Err(_) => Array {
            shape: vec![gamma.len()],
            data: vec![0.0; gamma.len()],
        },
    };
    let per_output = (weight.data.len() / gamma.len().max(1)).max(1);
    for (output, filter) in weight.data.chunks_exact_mut(per_output).enumerate() {
        let scale = gamma[output] / (variance[output] + BATCH_NORM_EPSILON as f32).sqrt();
        filter.iter_mut().for_each(|weight| *weight *= scale);
        bias.data[output] = beta[output] + (bias.data[output] - mean[output]) * scale;
    }
    let _normalisation = weights.take_prefix(&format!("{norm}."));
    weights.insert(weight_name, weight);
    weights.insert(bias_name, bias);
    Ok(())
}
