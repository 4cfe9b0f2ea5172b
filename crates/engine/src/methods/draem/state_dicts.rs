//! The reference implementation's two state dicts, one for each network. They are for images whose channels are blue, green and
//! red, and ours for red, green and blue: the weights that touch an image are exchanged.

use crate::arch::weights::Weights;
use crate::methods::draem::DraemConfig;
use crate::methods::file::{Body, ModelFile, ModelHeader};
use crate::{Error, Result};

/// First convolutions of the two networks, and the last one of the first network.
const FIRST: [&str; 2] = ["encoder.block1.0.weight", "encoder_segment.block1.0.weight"];
const LAST: [&str; 2] = ["decoder.fin_out.0.weight", "decoder.fin_out.0.bias"];
/// Prefixes of the second network's tensors.
const DISCRIMINATIVE: [&str; 2] = ["encoder_segment.", "decoder_segment."];
/// What the two networks are called.
const NAMES: [&str; 2] = ["reconstructive", "discriminative"];

/// Which of the two networks are among these weights.
fn networks(weights: &Weights) -> [bool; 2] {
    FIRST.map(|name| weights.contains(name))
}

/// Whether these are weights of at least one of the two networks.
pub(crate) fn is_of_draem(weights: &Weights) -> bool {
    networks(weights).contains(&true)
}

/// Whether these are weights of both.
pub(crate) fn is_whole(weights: &Weights) -> bool {
    networks(weights) == [true; 2]
}

/// What is missing where only one of the two networks is there.
pub fn other_half(half: &Weights) -> Error {
    let (own, other, ending) = match networks(half) {
        [true, _] => (NAMES[0], NAMES[1], "_seg.pckl"),
        _ => (NAMES[1], NAMES[0], ".pckl, without _seg"),
    };
    Error::Model(format!(
        "the file holds only the {own} network of DRAEM: give the file of its {other} network (it ends in {ending}) with it"
    ))
}

/// The model of two state dicts, in any order.
///
/// # Errors
/// [`Error::Model`] if they are of the same network, or naming the first tensor that is missing, misshapen or unknown.
pub fn join(mut first: Weights, second: Weights) -> Result<ModelFile> {
    let both = [networks(&first), networks(&second)];
    if let Some(place) = (0..2).find(|&place| both[0][place] && both[1][place]) {
        return Err(Error::Model(format!(
            "both files hold the {} network of DRAEM: give one of each network",
            NAMES[place]
        )));
    }
    first.extend(second);
    model(first)
}

/// The model of both networks' weights.
///
/// # Errors
/// [`Error::Model`] naming the first tensor that is missing, misshapen or unknown.
pub(crate) fn model(mut weights: Weights) -> Result<ModelFile> {
    let mut widths = [0; 2];
    for (width, name) in widths.iter_mut().zip(FIRST) {
        *width = weights.get(name)?.shape.first().copied().unwrap_or_default();
    }
    exchange_channels(&mut weights);
    let body = Body::Draem {
        config: DraemConfig::new(widths),
        training: None,
    };
    ModelFile::new(ModelHeader::new(body), weights)
}

/// The two state dicts of a model's weights, without what is no part of the networks.
pub(crate) fn split(mut weights: Weights) -> [Weights; 2] {
    exchange_channels(&mut weights);
    let mut discriminative = Weights::default();
    for prefix in DISCRIMINATIVE {
        discriminative.extend(weights.take_prefix(prefix));
    }
    [weights, discriminative]
}

/// Exchanges the weights of the first and the third channel of images.
fn exchange_channels(weights: &mut Weights) {
    let (inputs, outputs) = (FIRST.map(|name| (name, true)), LAST.map(|name| (name, false)));
    for (name, is_input) in inputs.into_iter().chain(outputs) {
        let Some(array) = weights.get_mut(name) else {
            continue;
        };
        // values that belong to one channel and lie in a row
        let run = match is_input {
            true => array.shape.iter().skip(2).product::<usize>(),
            false => array.data.len() / 3,
        };
        for image in array.data.chunks_exact_mut((3 * run).max(1)) {
            let (first, rest) = image.split_at_mut(run.min(image.len()));
            if let Some(third) = rest.get_mut(run..) {
                first
                    .iter_mut()
                    .zip(third)
                    .for_each(|(a, b)| std::mem::swap(a, b));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;
    use crate::formula::formula;
    use crate::methods::export::draem_to_pytorch;
    use crate::methods::open::{Opened, open};

    /// The weights of a state dict with narrow networks.
    fn halves() -> [Weights; 2] {
        let mut all = Weights::default();
        for (name, shape) in arch::draem([4, 2], 64).tensors("").iter() {
            all.insert(name.to_owned(), formula(name, shape));
        }
        let mut second = Weights::default();
        for prefix in DISCRIMINATIVE {
            second.extend(all.take_prefix(prefix));
        }
        [all, second]
    }

    fn half(bytes: &[u8]) -> Weights {
        match open(bytes).expect("opens") {
            Opened::HalfOfDraem(weights) => weights,
            _ => panic!("is one network of two"),
        }
    }

    #[test]
    fn state_dicts_come_in_and_go_out_as_they_were() {
        let [first, second] = halves();
        for (a, b) in [(&first, &second), (&second, &first)] {
            let file = join(a.clone(), b.clone()).expect("fits");
            let Body::Draem { config, .. } = &file.header.body else {
                panic!("is a model of DRAEM")
            };
            assert_eq!(config.widths, [4, 2]);
            let bytes = draem_to_pytorch(&file).expect("writes");
            let [one, other] = bytes.map(|bytes| half(&bytes));
            assert!(one == first && other == second, "the weights changed on the way");
        }
    }

    #[test]
    fn the_image_goes_in_and_comes_out_in_another_order() {
        let [first, second] = halves();
        let file = join(first.clone(), second.clone()).expect("fits");
        let ours = |name: &str| file.weights.get(name).expect("is there").data.clone();
        let theirs = |weights: &Weights, name: &str| weights.get(name).expect("is there").data.clone();
        // three channels of nine weights
        assert_eq!(ours(FIRST[0])[..9], theirs(&first, FIRST[0])[18..27]);
        assert_eq!(ours(FIRST[0])[9..18], theirs(&first, FIRST[0])[9..18]);
        // reconstruction and image
        assert_eq!(ours(FIRST[1])[27..36], theirs(&second, FIRST[1])[45..54]);
        let mut bias = theirs(&first, LAST[1]);
        bias.reverse();
        assert_eq!(ours(LAST[1]), bias);
    }

    #[test]
    fn a_missing_half_and_two_of_the_same_are_named() {
        let [first, second] = halves();
        let said = other_half(&first).to_string();
        assert!(
            said.contains("only the reconstructive network") && said.contains("_seg.pckl"),
            "{said}"
        );
        let said = other_half(&second).to_string();
        assert!(said.contains("only the discriminative network"), "{said}");
        let said = join(first.clone(), first.clone())
            .expect_err("is refused")
            .to_string();
        assert!(
            said.contains("both files hold the reconstructive network"),
            "{said}"
        );
        let mut damaged = second;
        drop(damaged.take("decoder_segment.up2.1.weight"));
        let said = join(first, damaged).expect_err("is refused").to_string();
        assert!(
            said.contains("`decoder_segment.up2.1.weight` is missing"),
            "{said}"
        );
    }
}
