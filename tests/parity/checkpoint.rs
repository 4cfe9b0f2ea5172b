//! Files: checkpoints of the reference implementation come in as they are, and ours go out as such.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use destseg_engine::arch::prefix;
use destseg_engine::arch::weights::{Array, Weights};
use destseg_engine::backend::device::Device;
use destseg_engine::config::{Method, ModelConfig, Preset, TeacherKind};
use destseg_engine::files::storage::Precision;
use destseg_engine::files::teacher::fold;
use destseg_engine::methods;
use destseg_engine::methods::export::to_pytorch;
use destseg_engine::methods::file::{ModelFile, ModelHeader};
use destseg_engine::methods::open::{Opened, open};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

use crate::reference::{formula, formula_teacher, paper, shared, uniform};
use crate::torch::StateDict;

/// The state dict of the reference's network: teacher, student, segmentation network.
fn state_dict() -> Weights {
    let (_, mut weights) = paper(256);
    weights.extend(formula_teacher().prefixed(prefix::TEACHER));
    weights
}

fn tensors(weights: &Weights) -> StateDict<'_> {
    StateDict(
        weights
            .iter()
            .map(|(name, array)| (name, &*array.shape, &*array.data))
            .collect(),
    )
}

/// The state dict as a safetensors file without a header of ours, with PyTorch's counters.
fn plain(weights: &Weights) -> Vec<u8> {
    let bytes: Vec<_> = weights
        .iter()
        .map(|(name, array)| {
            let bytes: Vec<u8> = array.data.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name, &array.shape, bytes)
        })
        .collect();
    let counter = 3_i64.to_le_bytes();
    let views = bytes
        .iter()
        .map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, (*shape).clone(), bytes).expect("fits");
            ((*name).to_owned(), view)
        })
        .chain(weights.iter().filter_map(|(name, _)| {
            let name = format!("{}num_batches_tracked", name.strip_suffix("running_mean")?);
            Some((
                name,
                TensorView::new(Dtype::I64, Vec::new(), &counter).expect("fits"),
            ))
        }));
    safetensors::serialize(views, None).expect("serialises")
}

fn model(bytes: &[u8]) -> ModelFile {
    match open(bytes).expect("opens") {
        Opened::Model(file) => *file,
        Opened::Teacher(..) | Opened::HalfOfDraem(_) | Opened::PartOfDsr(_) => panic!("is a model"),
    }
}

fn teacher(bytes: &[u8]) -> Weights {
    match open(bytes).expect("opens") {
        Opened::Teacher(TeacherKind::Resnet18, weights) => weights,
        _ => panic!("is the resnet18 teacher"),
    }
}

#[tokio::test]
async fn a_checkpoint_is_the_same_model_in_every_format() {
    let weights = state_dict();
    let mut expected = weights.clone();
    drop(expected.take_prefix(prefix::TEACHER));
    let folded = fold(TeacherKind::Resnet18, &formula_teacher()).expect("folds");
    expected.extend(folded.prefixed(prefix::TEACHER));
    let saved = tensors(&weights);
    for (format, bytes) in [
        ("zip", saved.zip()),
        ("older", saved.legacy()),
        ("safetensors", plain(&weights)),
    ] {
        let file = model(&bytes);
        // not assert_eq: nobody wants to read a model's numbers
        assert!(file.weights == expected, "{format} gives other weights");
        assert_eq!(
            file.header,
            ModelHeader::of_networks(ModelConfig::preset(Preset::Paper))
        );
    }

    // our format keeps it, PyTorch's comes back, and the maps stay
    let file = model(&saved.zip());
    let ours = file.to_bytes(Precision::F32).expect("writes");
    assert!(model(&ours).weights == expected);
    let out = to_pytorch(&file, None).expect("exports");
    let back = model(&out);
    assert_eq!(back.header, file.header);
    let pixels = uniform("pixels", 3 * 256 * 256)
        .into_iter()
        .map(|u| u + 0.5)
        .collect::<Vec<f32>>();
    let mut maps = Vec::new();
    for file in [&file, &back] {
        let detector = methods::detector(file, None, &Device::Cpu).expect("builds");
        let found = detector.detect_pixels(&pixels).await.expect("detects");
        maps.push((found.dest, found.segmentation.expect("is there")));
    }
    assert!(maps[0] == maps[1], "the exported model gives other maps");
}

#[tokio::test]
async fn a_teacher_comes_published_or_folded() {
    let mut published = formula_teacher();
    let folded = fold(TeacherKind::Resnet18, &published).expect("folds");
    assert!(teacher(&plain(&folded)) == folded, "folded, without a header");
    // layers that are not used may be there or not
    for (name, shape) in [
        ("layer4.0.conv1.weight", &[512, 256, 3, 3][..]),
        ("fc.bias", &[1000]),
    ] {
        published.insert(name.into(), formula(name, shape));
    }
    for bytes in [
        tensors(&published).zip(),
        tensors(&published).legacy(),
        plain(&published),
    ] {
        assert!(teacher(&bytes) == folded, "published");
    }
    let path = shared().join("weights/resnet18-imagenet-layer1-3-bnfolded.safetensors");
    match fs::read(&path) {
        Ok(bytes) => assert!(teacher(&bytes).count() > 2_000_000),
        Err(_) => println!("skipped: {} is absent", path.display()),
    }
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    const STUDENT: &str = "student_net.decoder_layer4.0.conv1.weight";
    const SHORTCUT: &str = "teacher_net.encoder.layer2.0.downsample.0.weight";
    let whole = state_dict();
    let refused = |what: &str, change: &dyn Fn(&mut Weights)| {
        let mut weights = whole.clone();
        change(&mut weights);
        let opened = open(&plain(&weights));
        opened
            .err()
            .unwrap_or_else(|| panic!("{what}: accepted"))
            .to_string()
    };
    for name in [STUDENT, SHORTCUT] {
        let missing = refused("missing", &|weights| drop(weights.take_prefix(name)));
        assert!(missing.contains(&format!("`{name}` is missing")), "{missing}");
        let misshapen = refused("misshapen", &|weights| {
            let data = vec![0.0; 12];
            let array = Array {
                shape: vec![3, 4],
                data,
            };
            weights.insert(name.into(), array);
        });
        assert!(
            misshapen.contains(&format!("`{name}` has shape [3, 4] instead of [")),
            "{misshapen}"
        );
    }
    for name in [
        "student_net.extra.weight",
        "teacher_net.encoder.layer3.2.conv1.weight",
        "other.bias",
    ] {
        let unknown = refused(name, &|weights| weights.insert(name.into(), formula(name, &[4])));
        assert!(unknown.contains(&format!("`{name}` is unknown")), "{unknown}");
    }
    let many = refused("no head", &|weights| {
        drop(weights.take_prefix("segmentation_net.head"));
    });
    assert!(many.contains("more problems like this"), "{many}");
    let nothing = refused("nothing", &|weights| *weights = Weights::default());
    assert!(nothing.contains("weights of another network"), "{nothing}");
}

#[tokio::test]
async fn headers_of_older_versions_open() {
    let file = model(&tensors(&state_dict()).zip());
    let bytes = file.to_bytes(Precision::F32).expect("writes");
    let with_header = |change: &dyn Fn(&mut serde_json::Value)| {
        let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("reads");
        let metadata = metadata.metadata().clone().expect("has some");
        let mut header = serde_json::from_str(&metadata["destseg"]).expect("is JSON");
        change(&mut header);
        let metadata = HashMap::from([("destseg".to_owned(), header.to_string())]);
        let tensors = SafeTensors::deserialize(&bytes).expect("reads");
        safetensors::serialize(tensors.iter(), Some(metadata)).expect("writes")
    };
    let older = with_header(&|header| {
        let header = header.as_object_mut().expect("is an object");
        header.retain(|key, _| ["format_version", "config"].contains(&key.as_str()));
        header["format_version"] = 1.into();
        header["config"]
            .as_object_mut()
            .expect("is an object")
            .remove("method");
    });
    let opened = model(&older);
    assert_eq!(
        opened.header.networks().expect("are there"),
        file.header.networks().expect("are there")
    );
    assert_eq!(opened.header.method(), Method::Destseg);
    assert!(opened.header.training().is_none() && opened.header.calibration.is_none());
    // version 0.1 told STPM by its distance
    let stpm = with_header(&|header| {
        let header = header.as_object_mut().expect("is an object");
        header.retain(|key, _| ["format_version", "config"].contains(&key.as_str()));
        header["format_version"] = 1.into();
        header["config"]
            .as_object_mut()
            .expect("is an object")
            .remove("method");
        header["config"]["distance"] = "squared-euclidean".into();
    });
    assert_eq!(model(&stpm).header.method(), Method::Stpm);
    let two = with_header(&|header| header["method"] = "stpm".into());
    let message = open(&two).expect_err("refused").to_string();
    assert!(message.contains("two methods"), "{message}");
    let nameless = with_header(&|header| {
        header.as_object_mut().expect("is an object").remove("method");
    });
    let message = open(&nameless).expect_err("refused").to_string();
    assert!(message.contains("does not say its method"), "{message}");
    let unknown = with_header(&|header| header["features"] = serde_json::json!(["whitening", "time-travel"]));
    let message = open(&unknown).expect_err("refused").to_string();
    assert!(message.contains("`time-travel`"), "{message}");
    let newer = with_header(&|header| header["format_version"] = 1000.into());
    let message = open(&newer).expect_err("refused").to_string();
    assert!(message.contains("newer"), "{message}");
}

/// Runs a program; `None`, with a note, where Python or a module is absent.
fn python(program: &str, folder: &Path) -> Option<()> {
    let python = std::env::var_os("DESTSEG_PYTHON").unwrap_or_else(|| "python3".into());
    let has_modules = Command::new(&python)
        .args(["-c", "import torch, safetensors.torch"])
        .output();
    if !has_modules.is_ok_and(|output| output.status.success()) {
        println!(
            "skipped: {} has no torch or no safetensors; DESTSEG_PYTHON names another Python",
            python.display()
        );
        return None;
    }
    let output = Command::new(&python)
        .args(["-c", program])
        .current_dir(folder)
        .env("PYTHONPATH", shared().join("bench"))
        .output()
        .expect("starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(())
}

/// PyTorch loads our export strictly, and what PyTorch saves opens here, bit by bit.
#[tokio::test]
async fn there_and_back_through_pytorch() {
    const PROGRAM: &str = "
import torch, safetensors.torch
from destseg_torch import DeSTSeg
net = DeSTSeg().eval()
net.load_state_dict(safetensors.torch.load_file('ours.safetensors'), strict=True)
torch.save(net.state_dict(), 'new.pckl')
torch.save(net.state_dict(), 'old.pth', _use_new_zipfile_serialization=False)
torch.save({'state_dict': {'module.' + k: v for k, v in net.state_dict().items()}}, 'parallel.pt')
torch.save(net.half().state_dict(), 'half.pt')
torch.save(net, 'whole.pt')
";
    if !shared().join("bench/destseg_torch.py").exists() {
        println!("skipped: {} is absent", shared().join("bench").display());
        return;
    }
    let file = model(&tensors(&state_dict()).zip());
    let folder: TempDir = tempfile::tempdir().expect("creates");
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    fs::write(
        path("ours.safetensors"),
        to_pytorch(&file, None).expect("exports"),
    )
    .expect("writes");
    if python(PROGRAM, folder.path()).is_none() {
        return;
    }
    for name in ["new.pckl", "old.pth", "parallel.pt"] {
        let back = model(&fs::read(path(name)).expect("is there"));
        assert!(back.weights == file.weights, "{name} comes back changed");
    }
    let half = model(&fs::read(path("half.pt")).expect("is there"));
    for ((name, whole), (_, half)) in file.weights.iter().zip(half.weights.iter()) {
        for (a, b) in whole.data.iter().zip(&half.data) {
            assert!((a - b).abs() <= 2e-3 * a.abs().max(1.0), "{name}: {a} became {b}");
        }
    }
    // a pickled network is code, not data
    let whole = fs::read(path("whole.pt")).expect("is there");
    let message = open(&whole).expect_err("refused").to_string();
    assert!(message.contains("asks for `destseg_torch.DeSTSeg`"), "{message}");
}
