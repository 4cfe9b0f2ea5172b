//! Rewriting a network into an equal one that costs less.

use destseg_kernels::Activation;

use super::graph::{Conv, Graph, Op, Value};

/// Takes every 1x1 convolution of concatenated maps, some of which were resized, apart: each map is convolved at its own
/// size with its share of the weights, then resized, and the results are added. Both steps are linear, so the sum is the
/// same; the coarse levels of a feature pyramid have most of the channels but few pixels.
#[must_use]
pub fn narrow_before_resizing(graph: &Graph) -> Graph {
    let uses = graph.uses();
    let used_once = |value: Value| uses[value.index()] == 1;
    let is_resized = |value: &Value| used_once(*value) && matches!(graph.node(*value).op, Op::Resize(_));
    // the concatenation behind a convolution that is taken apart
    let parts_of = |conv: &Conv, input: Value| {
        let before = graph.node(input);
        let fits = conv.shape.kernel == 1 && conv.shape.stride == 1 && !conv.depthwise && used_once(input);
        let resized = before.inputs.iter().any(is_resized);
        (fits && matches!(before.op, Op::Concat) && resized).then_some(&before.inputs)
    };
    let mut skipped = vec![false; graph.len()];
    for (_, node) in graph.nodes() {
        if let Op::Conv(conv) = &node.op
            && let Some(parts) = parts_of(conv, node.inputs[0])
        {
            skipped[node.inputs[0].index()] = true;
            for part in parts.iter().filter(|part| is_resized(part)) {
                skipped[part.index()] = true;
            }
        }
    }
    let mut result = Graph::default();
    let mut values: Vec<Option<Value>> = Vec::new();
    for (value, node) in graph.nodes() {
        if skipped[value.index()] {
            values.push(None);
            continue;
        }
        let at = |value: &Value| values[value.index()];
        let new = match &node.op {
            Op::Conv(conv) if parts_of(conv, node.inputs[0]).is_some() => {
                let parts = graph.node(node.inputs[0]).inputs.iter().map(|&part| {
                    let before = graph.node(part);
                    match (&before.op, at(&part)) {
                        (_, Some(there)) => (there, None),
                        (Op::Resize(corners), None) => {
                            (at(&before.inputs[0]).unwrap_or(value), Some(*corners))
                        }
                        _ => unreachable!("only resized parts are left out"),
                    }
                });
                let parts: Vec<_> = parts.collect();
                let [height, width, outputs] = node.size;
                let (mut sum, mut first) = (None, 0);
                let last = parts.len() - 1;
                for (i, (part, corners)) in parts.into_iter().enumerate() {
                    let [rows, columns, channels] = result.size(part);
                    let mut own = conv.clone();
                    own.slice = Some([first, conv.shape.inputs]);
                    own.shape.inputs = channels;
                    own.bias = conv.bias && i == 0;
                    own.activation = Activation::Linear;
                    let narrow = result.copy(Op::Conv(own), vec![part], [rows, columns, outputs]);
                    let large = match corners {
                        Some(corners) => result.resize(narrow, [height, width], corners),
                        None => narrow,
                    };
                    let activation = if i == last {
                        conv.activation
                    } else {
                        Activation::Linear
                    };
                    sum = Some(match sum {
                        Some(sum) => result.add(sum, large, activation),
                        None => large,
                    });
                    first += channels;
                }
                sum
            }
            op => {
                let inputs = node.inputs.iter().filter_map(at).collect();
                Some(result.copy(op.clone(), inputs, node.size))
            }
        };
        values.push(new);
    }
    let outputs: Vec<Value> = graph
        .outputs()
        .iter()
        .filter_map(|output| values[output.index()])
        .collect();
    result.with_outputs(outputs)
}
