//! Mutated files and messages: whatever comes, there is an answer or a sentence, never a panic, and never much memory.
//!
//! Each target computes for `DESTSEG_FUZZ_SECONDS` (2, if nothing is said) from `DESTSEG_FUZZ_SEED`. An input that fails is written
//! to the system's folder for temporary files, and named. docs/reliability.md has the long runs.

use std::io::Cursor;
use std::panic::{self, AssertUnwindSafe};
use std::time::Instant;

use ::image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use destseg::page::protocol::{Command, Event, Manifest};
use destseg_engine::config::Settings;
use destseg_engine::data::{annotations, image, labelled, mask};
use destseg_engine::files::zip;
use destseg_engine::methods::{header, open};
use destseg_engine::train::model_so_far;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

#[path = "support/zip.rs"]
mod pack;
#[path = "support/torch.rs"]
mod torch;

/// Seconds for each target where nothing else is said.
const SECONDS: f64 = 2.0;
/// Longest mutated input in bytes: mutations may double one.
const LONGEST: usize = 1 << 20;
/// Memory that the whole process may come to, in bytes: an image of 100 megapixels takes 800 MB while it is decoded.
const MOST_MEMORY: u64 = 3_000_000_000;
/// Values that lie at borders.
const BORDERS: [u32; 10] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    u32::MAX,
];

/// Changes an input at a few places, or puts parts of two together.
fn mutate(input: &mut Vec<u8>, other: &[u8], rng: &mut Pcg64) {
    for _ in 0..rng.random_range(1..6) {
        let length = input.len().max(1);
        let at = rng.random_range(0..length).min(input.len());
        match rng.random_range(0..8) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = rng.random();
                }
            }
            2 => {
                let value = BORDERS[rng.random_range(0..BORDERS.len())];
                let bytes = if rng.random() {
                    value.to_le_bytes()
                } else {
                    value.to_be_bytes()
                };
                for (byte, new) in input.iter_mut().skip(at).zip(bytes) {
                    *byte = new;
                }
            }
            3 => input.truncate(at),
            4 => {
                let end = (at + rng.random_range(0..64)).min(input.len());
                drop(input.drain(at..end));
            }
            5 => {
                let end = (at + rng.random_range(0..64)).min(input.len());
                let copy = input[at..end].to_vec();
                let to = rng.random_range(0..=input.len());
                input.splice(to..to, copy);
            }
            6 => {
                let mut new = vec![0; rng.random_range(0..16)];
                rng.fill_bytes(&mut new);
                input.splice(at..at, new);
            }
            _ => {
                let from = rng.random_range(0..=other.len());
                input.truncate(at);
                input.extend(&other[from..]);
            }
        }
    }
    input.truncate(LONGEST);
}

/// The highest memory of the process so far, in bytes; none where the system does not say it so.
fn highest_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Seconds that this thread has computed; where the system does not say it, seconds since `start`.
fn computed(start: Instant) -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text
        .split(' ')
        .next()
        .and_then(|number| number.parse::<f64>().ok());
    nanoseconds.map_or_else(|| start.elapsed().as_secs_f64(), |number| number * 1e-9)
}

/// Runs a target on seeds and what becomes of them.
fn fuzz(name: &str, seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<f64>().ok());
    let seconds = number("DESTSEG_FUZZ_SECONDS").unwrap_or(SECONDS);
    let mut rng = Pcg64::seed_from_u64(number("DESTSEG_FUZZ_SEED").unwrap_or(0.0) as u64);
    let start = Instant::now();
    let end = computed(start) + seconds;
    let mut pool = seeds.to_vec();
    let mut runs = 0;
    let check = |input: &[u8]| {
        let result = panic::catch_unwind(AssertUnwindSafe(|| target(input)));
        let memory = highest_memory().unwrap_or_default();
        if result.is_err() || memory > MOST_MEMORY {
            let path = std::env::temp_dir().join(format!("destseg-fuzz-{name}.bin"));
            std::fs::write(&path, input).expect("writes");
            panic!(
                "{name}: panic, or {memory} bytes of memory, for {}",
                path.display()
            );
        }
    };
    for seed in seeds {
        check(seed);
    }
    while computed(start) < end {
        let mut input = pool[rng.random_range(0..pool.len())].clone();
        let other = pool[rng.random_range(0..pool.len())].clone();
        mutate(&mut input, &other, &mut rng);
        check(&input);
        // now and then a mutation is a seed for more
        if runs % 50 == 0 && pool.len() < 10 * seeds.len() {
            pool.push(input);
        }
        runs += 1;
    }
    let memory = highest_memory().unwrap_or_default() / 1_000_000;
    println!("{name}: {runs} inputs in {seconds} s of processor time, at most {memory} MB of memory");
    assert!(runs > 10, "{name}: only {runs} inputs in {seconds} s");
}

fn encoded(image: &DynamicImage) -> Vec<Vec<u8>> {
    let formats = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::WebP,
        ImageFormat::Tiff,
    ];
    let encode = |format| {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).ok()?;
        Some(bytes.into_inner())
    };
    formats.into_iter().filter_map(encode).collect()
}

fn pictures() -> Vec<Vec<u8>> {
    let colour = RgbImage::from_fn(40, 30, |x, y| Rgb([(5 * x) as u8, (7 * y) as u8, (x ^ y) as u8]));
    let grey = GrayImage::from_fn(33, 17, |x, y| Luma([255 * u8::from((x / 4 + y / 4) % 2 == 0)]));
    let deep = ::image::ImageBuffer::from_fn(9, 9, |x, y| Luma([(x * y * 50) as u16]));
    let all = [
        DynamicImage::ImageRgb8(colour.clone()),
        DynamicImage::ImageLuma8(grey),
        DynamicImage::ImageLuma16(deep),
        DynamicImage::ImageRgba8(DynamicImage::ImageRgb8(colour).into_rgba8()),
    ];
    all.iter().flat_map(encoded).collect()
}

#[test]
fn images() {
    fuzz("images", &pictures(), |bytes| {
        let decoded = image::decode(bytes);
        if let Ok(image) = &decoded {
            assert!(image.width() > 0 && image.height() > 0);
        }
        let _ = (
            image::type_name(bytes),
            image::orientation(bytes),
            image::is_image(bytes),
        );
    });
}

#[test]
fn masks() {
    fuzz("masks", &pictures(), |bytes| {
        if let Ok(mask) = mask::decode(bytes) {
            let size = mask.dimensions();
            let _ = mask::fit(mask.clone(), (256, 192), image::orientation(bytes));
            let fitted = mask::fit(mask, size, image::orientation(bytes)).expect("its own size");
            if let Ok(truth) = mask::truth(&fitted, 32) {
                assert!(truth.len() == 32 * 32 && truth.contains(&true));
            }
        }
    });
}

#[test]
fn archives() {
    let files: [pack::File<'_>; 3] = [
        ("a/good/1.png", b"1111111111111111", true),
        ("a/bad/2.jpg", b"2", false),
        ("a/notes.txt", b"3", true),
    ];
    let seeds = [
        pack::zip(&files, false, ""),
        pack::zip(&files, true, "a comment"),
        torch::archive(&[("x/data.pkl".into(), b"1".to_vec())]),
    ];
    fuzz("archives", &seeds, |bytes| {
        let tail = &bytes[bytes.len().saturating_sub(zip::TAIL as usize)..];
        let Ok(directory) = zip::locate(tail, bytes.len() as u64) else {
            return;
        };
        let (start, length) = (directory.start as usize, directory.length as usize);
        let Some(own) = bytes.get(start..start.saturating_add(length)) else {
            return;
        };
        if let Ok(listing) = zip::list(own, &directory) {
            let entries = listing.images.iter().filter_map(|(_, entry)| entry.as_ref().ok());
            for entry in entries {
                assert!(entry.size <= zip::MOST_BYTES && entry.packed <= bytes.len() as u64);
            }
        }
    });
}

/// The beginning of a shipped model, whose tensors are cut short: only what is read before them counts here.
fn models() -> Vec<Vec<u8>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fabric.safetensors");
    let whole = std::fs::read(path).expect("reads");
    let state = torch::StateDict(vec![
        ("student_net.w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
        ("layer1.0.conv1.weight", &[1], &[0.5]),
    ]);
    let text = r#"{"__metadata__":{"destseg":"{}"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let small = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &[0; 4]].concat();
    vec![
        whole[..LONGEST.min(whole.len())].to_vec(),
        state.zip(),
        state.legacy(),
        small,
    ]
}

#[test]
fn model_files() {
    fuzz("models", &models(), |bytes| {
        let _ = open::open(bytes);
        let _ = model_so_far(bytes);
        let _ = header::head_bytes(bytes);
    });
}

#[test]
fn settings() {
    let json =
        serde_json::to_vec(&Settings::preset(destseg_engine::config::Preset::Compact)).expect("is written");
    let text = String::from_utf8(json.clone()).expect("is text");
    let toml =
        toml::to_string(&serde_json::from_str::<toml::Value>(&text).expect("is read")).expect("is written");
    fuzz("settings", &[json, toml.into_bytes()], |bytes| {
        if let Ok(settings) = serde_json::from_slice::<Settings>(bytes) {
            let _ = (settings.model.validate(), settings.training.validate());
        }
        if let Ok(settings) = toml::from_slice::<Settings>(bytes) {
            let _ = (settings.model.validate(), settings.training.validate());
        }
    });
}

#[test]
fn messages() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/manifest.json");
    let manifest = std::fs::read(path).expect("reads");
    let command = Command::Inspect {
        job: 7,
        painted: vec![[0.5, 0.25]],
        brief: true,
    };
    let event = Event::Failed {
        job: Some(7),
        message: "It failed.".into(),
    };
    let seeds = [
        manifest,
        serde_json::to_vec(&command).expect("is written"),
        serde_json::to_vec(&event).expect("is written"),
    ];
    fuzz("messages", &seeds, |bytes| {
        let _ = serde_json::from_slice::<Manifest>(bytes);
        let _ = serde_json::from_slice::<Command>(bytes);
        let _ = serde_json::from_slice::<Event>(bytes);
    });
}

#[test]
fn folders() {
    let seeds = [
        "a/test/good/0.png\na/test/hole/1.png\na/ground_truth/hole/1_mask.png\na/train/good/2.png",
        "kos00/Part0.jpg\nkos00/Part0_label.bmp\nbad_masks/1.png\nbad/1.png\ngood/1.png",
        "test_public/bad/1.png\nvalidation/good/2.png\nx/xyz/3.tiff\nx/rgb/3.png\n../a.png\n\\b\\c.gif",
    ];
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    fuzz("folders", &seeds, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let paths: Vec<&str> = text.split('\n').collect();
        let set = labelled::classify_paths(&paths);
        let files = set.images.iter().map(|image| image.file);
        assert!(
            files
                .chain(set.train_good.iter().copied())
                .all(|file| file < paths.len())
        );
        // no mask is an image, too
        let masks: Vec<usize> = set.images.iter().flat_map(|image| image.masks.clone()).collect();
        assert!(set.images.iter().all(|image| !masks.contains(&image.file)));
        let _ = set.summary();
    });
}

#[test]
fn annotations_of_images() {
    let seeds: [&[u8]; 5] = [
        br#"{"shapes":[{"label":"a","points":[[1,2],[30,4],[5,60]],"shape_type":"polygon"}],"imageWidth":64,"imageHeight":64}"#,
        br#"{"images":[{"id":1,"file_name":"a/7.png","width":64,"height":64}],"annotations":[{"image_id":1,"category_id":1,
        "segmentation":[[1,2,30,4,5,60]]},{"image_id":1,"segmentation":{"size":[64,64],"counts":[3,40,9]}}],"categories":[]}"#,
        br#"{"images":[{"id":1,"file_name":"7.png","width":9,"height":9}],"annotations":[{"image_id":1,
        "segmentation":{"size":[9,9],"counts":"e<?i0\\=BSGS1J"}}]}"#,
        b"0 0.5 0.5 0.1 0.2\n1 0.1 0.1 0.2 0.1 0.2 0.2",
        b"image,label,split,mask\na/7.png,good,train,\na/8.png,\"bad, very\",test,m/8.png\n",
    ];
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).collect();
    let paths = ["a/7.png", "a/8.png", "m/8.png", "all.json", "t.csv"];
    fuzz("annotations", &seeds, |bytes| {
        for name in ["a.json", "a.txt"] {
            let file = annotations::MarkFile {
                name,
                bytes: Ok(bytes),
            };
            let _ = annotations::read(&[file], "a/7.png", (64, 64));
        }
        let set = labelled::classify(&paths, &[(3, bytes.to_vec()), (4, bytes.to_vec())], &[]);
        assert!(set.images.len() + set.train_good.len() <= 3);
    });
}
