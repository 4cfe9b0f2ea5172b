//! The reference implementation's six state dicts, one for each network. They are for images whose channels are blue, green
//! and red, and ours for red, green and blue: the weights that touch an image are exchanged.

use super::DsrConfig;
use crate::arch::dsr::{COARSE_CODES, DsrShape, FINE_CODES, prefix};
use crate::arch::weights::{Array, Weights};
use crate::methods::file::{Body, ModelFile, ModelHeader};
use crate::{Error, Result};

/// A network, its file and what it is called.
struct Network {
    /// Prefix of its tensors in a model.
    prefix: &'static str,
    /// How its file is called, besides the part's name.
    file: &'static str,
    /// In words.
    words: &'static str,
}

const NETWORKS: [Network; 6] = [
    Network {
        prefix: prefix::GENERAL,
        file: "vq_model",
        words: "VQ-VAE",
    },
    Network {
        prefix: prefix::RESTRICTION_FINE,
        file: "subspace_restriction_hi",
        words: "subspace restriction of the fine level",
    },
    Network {
        prefix: prefix::RESTRICTION_COARSE,
        file: "subspace_restriction_lo",
        words: "subspace restriction of the coarse level",
    },
    Network {
        prefix: prefix::OBJECT,
        file: "image_recon_module",
        words: "image reconstruction",
    },
    Network {
        prefix: prefix::DETECTION,
        file: "anomaly_det_module",
        words: "anomaly detection module",
    },
    Network {
        prefix: prefix::UPSAMPLING,
        file: "upsample_module",
        words: "upsampling module",
    },
];

/// Places of the two networks of subspace restriction, which are alike, with the word that tells their files apart.
const RESTRICTIONS: [(usize, &str); 2] = [(1, "hi"), (2, "lo")];
/// What stage 1 of the reference keeps beside each codebook: mean sums and counts of features.
const SUMS: &str = "_ema_w";
const COUNTS: &str = "_ema_cluster_size";
/// Their prefixes.
const BOOKS: [&str; 2] = ["vq._vq_vae_top.", "vq._vq_vae_bot."];
/// The U-Nets' first convolution, and that of the first enlargement, which subspace restriction does not have.
const FIRST: &str = "unet.encoder.block1.0.weight";
const UNET_ONLY: &str = "unet.decoder.up1.1.weight";
/// Channels that the anomaly detection module sees; the upsampling module sees two more.
const IMAGES: usize = 6;

/// One of the state dicts, which [`join`] makes a model of.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    weights: Weights,
    /// Places among [`NETWORKS`] that it can be of: one, or both of subspace restriction.
    places: Vec<usize>,
}

impl Part {
    /// The part that these weights are; the weights again if they are none.
    pub(in crate::methods) fn of(weights: Weights) -> std::result::Result<Self, Weights> {
        let inputs = |name: &str| weights.get(name).ok().and_then(|own| own.shape.get(1)).copied();
        let places = if weights.contains("_vq_vae_top._embedding.weight") {
            vec![0]
        } else if weights.contains("pre_vq_conv.weight") && weights.contains("upblock1.weight") {
            vec![3]
        } else if weights.contains(UNET_ONLY) {
            vec![if inputs(FIRST) == Some(IMAGES) { 4 } else { 5 }]
        } else if weights.contains(FIRST) {
            RESTRICTIONS.map(|(place, _)| place).into()
        } else {
            return Err(weights);
        };
        Ok(Self { weights, places })
    }

    /// The network that it is, by its file's name where the tensors do not say it.
    fn place(&self, name: &str) -> Result<usize> {
        if let [place] = self.places.as_slice() {
            return Ok(*place);
        }
        let name = name.to_ascii_lowercase();
        let words: Vec<&str> = name
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .collect();
        match RESTRICTIONS.map(|(_, word)| words.contains(&word)) {
            [true, false] => Ok(RESTRICTIONS[0].0),
            [false, true] => Ok(RESTRICTIONS[1].0),
            _ => Err(Error::Model(format!(
                "{name} holds one of the two networks of DSR's subspace restriction, which only their files' names tell \
                 apart: keep `_hi` for the fine and `_lo` for the coarse level in the name"
            ))),
        }
    }
}

/// What is said of one part alone.
pub fn alone(part: &Part) -> Error {
    let words = match part.places.as_slice() {
        [place] => NETWORKS[*place].words,
        _ => "subspace restriction of one level",
    };
    Error::Model(format!(
        "the file holds only the {words} of DSR: give all six files of the model to `destseg import`"
    ))
}

/// The model of the six parts, in any order, each with the name of its file.
///
/// # Errors
/// [`Error::Model`] if one is missing or there twice, if a name does not say which it is, or naming the first tensor that is
/// missing, misshapen or unknown.
pub fn join(parts: Vec<(String, Part)>) -> Result<ModelFile> {
    let mut all = Weights::default();
    let mut there = [false; NETWORKS.len()];
    for (name, part) in parts {
        let place = part.place(&name)?;
        let network = &NETWORKS[place];
        if std::mem::replace(&mut there[place], true) {
            return Err(Error::Model(format!(
                "two files hold the {} of DSR: give one of each network",
                network.words
            )));
        }
        all.extend(part.weights.prefixed(network.prefix));
    }
    let missing = NETWORKS.iter().zip(there).filter(|(_, there)| !there);
    let missing: Vec<String> = missing
        .map(|(network, _)| format!("the {} ({})", network.words, network.file))
        .collect();
    if !missing.is_empty() {
        return Err(Error::Model(format!(
            "of the six networks of DSR there is no file of {}: give it, too",
            missing.join(", of ")
        )));
    }
    model(all)
}

/// The model of all networks' weights.
fn model(mut weights: Weights) -> Result<ModelFile> {
    let size = |name: &str, axis: usize| {
        let shape = &weights.get(name)?.shape;
        Ok::<_, Error>(shape.get(axis).copied().unwrap_or_default())
    };
    let networks = DsrShape {
        hidden: size("vq._encoder_b._conv_2.weight", 0)?,
        residual: size("vq._encoder_b._residual_stack._layers.0._block.1.weight", 0)?,
        embedding: size(COARSE_CODES, 1)?,
        codes: size(COARSE_CODES, 0)?,
        unet: size(&format!("{}{FIRST}", prefix::DETECTION), 0)?,
    };
    let config = DsrConfig::new(networks);
    config.validate()?;
    for book in BOOKS {
        for unused in [SUMS, COUNTS] {
            drop(weights.take(&format!("{book}{unused}")));
        }
    }
    // the reference's own program leaves out what it does not know of this network
    let known = config.graph().tensors("");
    for (name, array) in weights.take_prefix(prefix::OBJECT).iter() {
        if known.iter().any(|(own, _)| own == name) {
            weights.insert(name.to_owned(), array.clone());
        }
    }
    exchange_channels(&mut weights);
    let body = Body::Dsr {
        config,
        training: None,
    };
    ModelFile::new(ModelHeader::new(body), weights)
}

/// The state dicts of a model's weights with the names of their files, without what is no part of the networks. The means
/// beside the codebooks are those of one feature for each code.
pub(crate) fn split(mut weights: Weights) -> Result<Vec<(&'static str, Weights)>> {
    exchange_channels(&mut weights);
    for (book, codes) in BOOKS.into_iter().zip([COARSE_CODES, FINE_CODES]) {
        let codes = weights.get(codes)?.clone();
        let count = codes.shape[0];
        let counts = Array {
            shape: vec![count],
            data: vec![1.0; count],
        };
        weights.insert(format!("{book}{SUMS}"), codes);
        weights.insert(format!("{book}{COUNTS}"), counts);
    }
    let parts = NETWORKS
        .iter()
        .map(|own| (own.file, weights.with_prefix(own.prefix)));
    Ok(parts.collect())
}

/// Exchanges the weights of the first and the third channel of images. They are on the second axis of all tensors that touch
/// an image, but for biases; the U-Nets see two images.
fn exchange_channels(weights: &mut Weights) {
    const LAST: &str = "_conv_trans_2";
    let of_unet = |prefix: &str| format!("{prefix}{FIRST}");
    let touching = [
        ("vq._encoder_b._conv_1.weight".to_owned(), 1),
        (format!("vq._decoder_b.{LAST}.weight"), 1),
        (format!("vq._decoder_b.{LAST}.bias"), 0),
        (format!("{}{LAST}.weight", prefix::OBJECT), 1),
        (format!("{}{LAST}.bias", prefix::OBJECT), 0),
        (of_unet(prefix::DETECTION), 1),
        (of_unet(prefix::UPSAMPLING), 1),
    ];
    for (name, axis) in touching {
        let Some(Array { shape, data }) = weights.get_mut(&name) else {
            continue;
        };
        let channels = shape.get(axis).copied().unwrap_or_default();
        let run = shape.iter().skip(axis + 1).product::<usize>();
        for all in data.chunks_exact_mut((channels * run).max(1)) {
            for image in all.chunks_exact_mut((3 * run).max(1)) {
                let (first, rest) = image.split_at_mut(run);
                first.swap_with_slice(&mut rest[run..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::dsr::dsr;
    use crate::formula::formula;
    use crate::methods::export::dsr_to_pytorch;
    use crate::methods::open::{Opened, open};
    use crate::test_support::expected;

    const SMALL: DsrShape = DsrShape {
        hidden: 4,
        residual: 2,
        embedding: 3,
        codes: 8,
        unet: 2,
    };

    /// The six state dicts with narrow networks, under the names of their files.
    fn parts() -> Vec<(String, Weights)> {
        let mut all = Weights::default();
        for (name, shape) in dsr(&SMALL, 64).tensors("").iter() {
            all.insert(name.to_owned(), formula(name, shape));
        }
        for book in BOOKS {
            all.insert(format!("{book}{SUMS}"), formula("a", &[8, 3]));
            all.insert(format!("{book}{COUNTS}"), formula("b", &[8]));
        }
        let part = |own: &Network| {
            (
                format!("DSR_{}_bottle.pckl", own.file),
                all.with_prefix(own.prefix),
            )
        };
        NETWORKS.iter().map(part).collect()
    }

    fn recognised(parts: Vec<(String, Weights)>) -> Vec<(String, Part)> {
        let part = |(name, weights)| (name, Part::of(weights).expect("is a part"));
        parts.into_iter().map(part).collect()
    }

    fn said(parts: Vec<(String, Weights)>) -> String {
        join(recognised(parts)).expect_err("is refused").to_string()
    }

    #[test]
    fn names_and_shapes_are_the_references() {
        let Some(fixture) = expected("dsr/state_dict_keys.json") else {
            return;
        };
        let paper = crate::methods::dsr::DsrSettings::preset(crate::config::Preset::Paper).model;
        let mut ours = paper.graph().tensors("");
        for book in BOOKS {
            ours.insert(format!("{book}{SUMS}"), &[4096, 128]);
            ours.insert(format!("{book}{COUNTS}"), &[4096]);
        }
        let mut theirs = crate::arch::shapes::Shapes::default();
        for (part, tensors) in fixture.as_object().expect("is an object") {
            for (name, shape) in tensors.as_object().expect("is an object") {
                let shape: Vec<usize> = serde_json::from_value(shape.clone()).expect("is a shape");
                theirs.insert(format!("{part}.{name}"), &shape);
            }
        }
        assert!(theirs.iter().count() > 180);
        assert_eq!(ours, theirs);
    }

    #[test]
    fn state_dicts_come_in_and_go_out_as_they_were() {
        let mut backwards = recognised(parts());
        backwards.reverse();
        let file = join(backwards).expect("fits");
        let Body::Dsr { config, .. } = &file.header.body else {
            panic!("is a model of DSR")
        };
        assert_eq!(config.networks, SMALL);
        let out = dsr_to_pytorch(&file).expect("writes");
        for ((name, mut before), (ending, bytes)) in parts().into_iter().zip(out) {
            assert!(name.contains(ending));
            let Opened::PartOfDsr(part) = open(&bytes).expect("opens") else {
                panic!("is one network of six")
            };
            let mut after = part.weights;
            for unused in BOOKS
                .iter()
                .flat_map(|book| [SUMS, COUNTS].map(|part| format!("{}{part}", &book[3..])))
            {
                assert_eq!(before.take(&unused).is_some(), after.take(&unused).is_some());
            }
            assert!(before == after, "the weights of {name} changed on the way");
        }
    }

    #[test]
    fn the_image_goes_in_and_comes_out_in_another_order() {
        let file = join(recognised(parts())).expect("fits");
        let parts = parts();
        let ours = |name: &str| file.weights.get(name).expect("is there").data.clone();
        let theirs = |part: usize, name: &str| parts[part].1.get(name).expect("is there").data.clone();
        // three channels of sixteen weights
        let name = "_encoder_b._conv_1.weight";
        assert_eq!(ours(&format!("vq.{name}"))[..16], theirs(0, name)[32..48]);
        // channels are the outputs, behind two inputs
        let name = "_conv_trans_2.weight";
        assert_eq!(
            ours(&format!("image_recon.{name}"))[48..64],
            theirs(3, name)[80..96]
        );
        let mut bias = theirs(3, "_conv_trans_2.bias");
        bias.reverse();
        assert_eq!(ours("image_recon._conv_trans_2.bias"), bias);
        // two images, then two probabilities
        let (own, other) = (ours("upsample.unet.encoder.block1.0.weight"), theirs(5, FIRST));
        assert_eq!((&own[..9], &own[27..36]), (&other[18..27], &other[45..54]));
        assert_eq!(own[54..72], other[54..72]);
        assert_eq!(own[72..81], other[90..99]);
    }

    #[test]
    fn files_that_make_no_model_are_named() {
        let mut few = parts();
        drop(few.drain(3..5));
        assert!(
            said(few).contains(
                "no file of the image reconstruction (image_recon_module), of the anomaly detection"
            )
        );
        let mut twice = parts();
        twice[2].0 = "subspace_HI.pckl".into();
        assert!(said(twice).contains("two files hold the subspace restriction of the fine level"));
        let mut nameless = parts();
        nameless[1].0 = "a.pckl".into();
        assert!(said(nameless).contains("keep `_hi` for the fine"));
        let mut other_book = parts();
        let name = "_vq_vae_bot._embedding.weight";
        other_book[0].1.insert(name.into(), formula(name, &[9, 3]));
        let text = said(other_book);
        assert!(
            text.contains("`vq._vq_vae_bot._embedding.weight` has shape [9, 3] instead of [8, 3]"),
            "{text}"
        );
        let mut damaged = parts();
        drop(damaged[4].1.take("unet.decoder.db1.0.bias"));
        assert!(said(damaged).contains("`anomaly_det.unet.decoder.db1.0.bias` is missing"));
        let mut tiny = parts();
        for book in ["_vq_vae_top", "_vq_vae_bot"] {
            let name = format!("{book}._embedding.weight");
            tiny[0].1.insert(name.clone(), formula(&name, &[1, 3]));
        }
        assert!(said(tiny).contains("have 1 codes but must have 8"));
        let mut more = parts();
        more[3]
            .1
            .insert("_vq_vae._embedding.weight".into(), formula("a", &[2, 2]));
        join(recognised(more)).expect("leaves out what the reconstruction does not need");
        for (_, weights) in parts() {
            let text = alone(&Part::of(weights).expect("is a part")).to_string();
            assert!(text.contains("give all six files of the model"), "{text}");
        }
    }
}
