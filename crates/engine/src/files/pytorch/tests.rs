use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::arch::weights::Array;

#[path = "../../../../../tests/support/torch.rs"]
mod torch;

use torch::{StateDict, archive, tensor, text};

/// No file of a few megabytes may keep a reader longer.
const SOON: Duration = Duration::from_secs(2);
/// Size of the storage in [`read`].
const STORED: usize = 6;

/// A small state dict, as weights and as what PyTorch would write.
fn small() -> (Weights, StateDict<'static>) {
    const TENSORS: [(&str, &[usize], &[f32]); 3] = [
        ("conv.weight", &[2, 1, 1, 2], &[1.0, -2.0, 3.5, 4.0]),
        ("norm.bias", &[3], &[0.5, 0.25, -1.0]),
        ("scalar", &[], &[7.0]),
    ];
    let mut weights = Weights::default();
    for (name, shape, numbers) in TENSORS {
        weights.insert(name.into(), array(shape, numbers));
    }
    (weights, StateDict(TENSORS.to_vec()))
}

fn array(shape: &[usize], numbers: &[f32]) -> Array {
    Array {
        shape: shape.to_vec(),
        data: numbers.to_vec(),
    }
}

/// Reads an archive of this pickle and one storage "0" of the numbers 0, 1, 2...
fn read(pickle: &[u8]) -> Result<Weights> {
    let numbers: Vec<u8> = (0..STORED).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let start = Instant::now();
    let result = read_state_dict(&archive(&[
        ("x/data.pkl".into(), pickle.to_vec()),
        ("x/data/0".into(), numbers),
    ]));
    assert!(start.elapsed() < SOON, "took {:?}", start.elapsed());
    result
}

fn refused(pickle: &[u8]) -> String {
    read(pickle).expect_err("refused").to_string()
}

/// A dict of one tensor, or another value, under the name "w".
fn dict(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02}", &text("w")[..], value, b"s."].concat()
}

#[test]
fn both_formats_are_read() {
    let (weights, saved) = small();
    for file in [saved.zip(), saved.legacy()] {
        assert!(is_pytorch(&file));
        assert_eq!(read_state_dict(&file).expect("reads"), weights);
    }
}

#[test]
fn views_are_taken_from_their_storage() {
    let transposed = dict(&tensor("0", STORED, &[3, 2], &[1, 3]));
    let expected = array(&[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(
        read(&transposed).expect("reads").get("w").expect("is there"),
        &expected
    );
    let repeated = dict(&tensor("0", STORED, &[2, 3], &[0, 1]));
    let expected = array(&[2, 3], &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    assert_eq!(
        read(&repeated).expect("reads").get("w").expect("is there"),
        &expected
    );
    let empty = dict(&tensor("0", STORED, &[0, 9], &[9, 1]));
    assert!(
        read(&empty)
            .expect("reads")
            .get("w")
            .expect("is there")
            .data
            .is_empty()
    );
}

#[test]
fn wrapped_and_parallel_state_dicts_are_found() {
    let inner = [
        b"}",
        &text("module.w")[..],
        &tensor("0", STORED, &[2], &[1]),
        b"s",
    ]
    .concat();
    let wrapped = [b"\x80\x02}", &text("state_dict")[..], &inner, b"s."].concat();
    let weights = read(&wrapped).expect("reads");
    assert_eq!(
        weights.get("w").expect("without the prefix"),
        &array(&[2], &[0.0, 1.0])
    );
}

#[test]
fn nothing_that_a_pickle_asks_for_is_run() {
    for (module, name) in [
        ("os", "system"),
        ("builtins", "eval"),
        ("torch.serialization", "load"),
    ] {
        let call = format!("c{module}\n{name}\n");
        let message = refused(&dict(&[call.as_bytes(), &text("echo"), b"\x85R"].concat()));
        assert!(
            message.contains(&format!("asks for `{module}.{name}`")),
            "{message}"
        );
        assert!(message.contains("nothing of it was run"), "{message}");
        let by_stack = [&text(module)[..], &text(name), b"\x93)R"].concat();
        assert!(refused(&dict(&by_stack)).contains("asks for"));
    }
    // what a terminal would obey does not reach it
    assert!(refused(&dict(b"cos\x1b[31m\nx\n)R")).contains("os?[31m.x"));
    // INST, OBJ, NEWOBJ, EXT1, PERSID: other ways to call or to name
    for instruction in *b"io\x81\x82P" {
        let message = refused(&dict(&[instruction]));
        assert!(
            message.contains(&format!("instruction 0x{instruction:02x}")),
            "{message}"
        );
    }
}

#[test]
fn crafted_pickles_exhaust_nothing() {
    const MANY: usize = 2_000_000;
    let far = "far more than a network";
    // each list holds the one before ten times
    let laughs = [
        b"(]q\x00",
        &b"](h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00eq\x00".repeat(10_000)[..],
        b"t",
    ];
    assert!(refused(&dict(&laughs.concat())).contains("no tensors by name"));
    for endless in [&b"("[..], b"]", b"N", b"K\x00", b"\x95\0\0\0\0\0\0\0\0"] {
        assert!(refused(&dict(&endless.repeat(MANY))).contains(far));
    }
    // lists of the same long list
    let copied = [b"](".to_vec(), b"K\x01".repeat(400_000), b"e".to_vec()].concat();
    let copies = [
        &copied[..],
        b"q\x00",
        &b"ccollections\nOrderedDict\nh\x00\x85R".repeat(40_000),
    ];
    assert!(refused(&dict(&copies.concat())).contains("pickle"));
    for long in [
        &b"X\xff\xff\xff\xff"[..],
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8a\xff",
    ] {
        assert!(refused(&[b"\x80\x02", long].concat()).contains("ends too early"));
    }
    let far = "far larger than the file";
    let million = 1 << 20;
    assert!(refused(&dict(&tensor("0", STORED, &[million, million], &[0, 0]))).contains(far));
    let items: Vec<u8> = (0..2000)
        .flat_map(|i| {
            [
                text(&i.to_string()),
                tensor("0", STORED, &[1000, STORED], &[0, 1]),
            ]
            .concat()
        })
        .collect();
    assert!(refused(&[b"\x80\x02}(", &items[..], b"u."].concat()).contains(far));
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let max = usize::MAX / 2;
    for (shape, strides) in [
        (&[7][..], &[1][..]),
        (&[2, 3], &[6, 1]),
        (&[2], &[1, 1]),
        (&[max, max], &[1, 1]),
        (&[2], &[max]),
    ] {
        let message = refused(&dict(&tensor("0", STORED, shape, strides)));
        assert!(
            message.contains("`w` does not fit"),
            "{shape:?} {strides:?}: {message}"
        );
    }
    let count = refused(&dict(&tensor("0", STORED + 1, &[1], &[1])));
    assert!(count.contains("`w` does not fit"), "{count}");
    let missing = refused(&dict(&tensor("1", STORED, &[1], &[1])));
    assert!(
        missing.contains("numbers of the tensor `w` are missing"),
        "{missing}"
    );
    let not_finite = StateDict(vec![("w", &[1], &[f32::NAN])]).zip();
    let message = read_state_dict(&not_finite).expect_err("refused").to_string();
    assert!(
        message.contains("`w` holds values that are not finite"),
        "{message}"
    );
}

#[test]
fn other_archives_and_pickles_are_explained() {
    let message = |file: &[u8]| read_state_dict(file).expect_err("refused").to_string();
    let photos = archive(&[("photo.png".into(), vec![1, 2, 3])]);
    assert!(message(&photos).contains("another kind of zip archive"));
    let (_, saved) = small();
    let whole = saved.zip();
    assert!(message(&whole[..whole.len() - 30]).contains("damaged"));
    let mut flipped = whole.clone();
    let place = whole.len() / 3;
    flipped[place] ^= 1;
    assert!(read_state_dict(&flipped).is_err(), "the checksum knows");
    let mut compressed = whole;
    let entry = compressed
        .windows(4)
        .position(|bytes| bytes == b"PK\x01\x02")
        .expect("has one");
    compressed[entry + 10] = 8;
    assert!(message(&compressed).contains("compressed"));
    let big = archive(&[
        ("x/data.pkl".into(), dict(b"N")),
        ("x/byteorder".into(), b"big".to_vec()),
    ]);
    assert!(message(&big).contains("big-endian"));
    assert!(message(&dict(b"N")).contains("pickle of something else"));
    assert!(message(b"\x80\x02").contains("ends too early"));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(mut file in prop::collection::vec(any::<u8>(), 0..400), zip: bool) {
        if zip && file.len() > 4 {
            file[..4].copy_from_slice(b"PK\x03\x04");
        }
        let _ = read_state_dict(&file);
        let _ = read(&file);
    }

    #[test]
    fn damaged_files_are_refused_or_read(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        legacy: bool,
    ) {
        let (_, saved) = small();
        let mut file = if legacy { saved.legacy() } else { saved.zip() };
        for (place, value) in changes {
            let place = place.index(file.len());
            file[place] = value;
        }
        let start = Instant::now();
        if let Ok(weights) = read_state_dict(&file) {
            prop_assert!(weights.count() <= file.len());
        }
        prop_assert!(start.elapsed() < SOON);
    }
}
