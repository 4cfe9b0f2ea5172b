//! Archives as ordinary programs write them, and as nobody should.

use proptest::prelude::*;

use super::records::{END, ENTRY};
use super::*;
use pack::{File, zip};

#[path = "../../../../../tests/support/zip.rs"]
mod pack;

fn listed(archive: &[u8]) -> Result<Listing> {
    let size = archive.len() as u64;
    let tail = &archive[archive.len().saturating_sub(TAIL as usize)..];
    let directory = locate(tail, size)?;
    let start = directory.start as usize;
    list(&archive[start..start + directory.length as usize], &directory)
}

/// Unpacks an image as the browser does: no more than it says it has.
fn unpacked(archive: &[u8], entry: &Entry) -> Vec<u8> {
    let offset = entry.offset as usize;
    let start = entry
        .content(&archive[offset..offset + HEAD as usize])
        .expect("a head") as usize;
    let packed = &archive[start..start + entry.packed as usize];
    let content = match entry.method {
        Method::Stored => packed.to_vec(),
        Method::Deflated => {
            miniz_oxide::inflate::decompress_to_vec_with_limit(packed, entry.size as usize).expect("unpacks")
        }
    };
    assert_eq!(crc32fast::hash(&content), entry.checksum);
    content
}

fn error(archive: &[u8]) -> String {
    listed(archive).expect_err("refused").to_string()
}

#[test]
fn images_are_found_and_the_rest_is_said() {
    let files: [File<'_>; 8] = [
        ("parts/", b"", false),
        ("parts/one.png", b"one one one one", true),
        ("parts/deep/er/two.JPG", b"two", false),
        ("parts/notes.txt", b"no image", true),
        ("parts/notes.pdf", b"no image", true),
        ("__MACOSX/parts/._one.png", b"litter", false),
        ("parts/.DS_Store", b"litter", false),
        ("..\\..\\three.bmp", b"three", false),
    ];
    for (wide, comment) in [(false, ""), (true, "PK\x05\x06 in a comment")] {
        let archive = zip(&files, wide, comment);
        let listing = listed(&archive).expect("is read");
        assert_eq!(listing.others, ["parts/notes.pdf"]);
        let texts: Vec<&str> = listing.texts.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(texts, ["parts/notes.txt"]);
        let images: Vec<(&str, Vec<u8>)> = listing
            .images
            .iter()
            .map(|(path, entry)| (path.as_str(), unpacked(&archive, entry.as_ref().expect("usable"))))
            .collect();
        let expected: [(&str, &[u8]); 3] = [
            ("parts/one.png", b"one one one one"),
            ("parts/deep/er/two.JPG", b"two"),
            ("three.bmp", b"three"),
        ];
        assert!(
            images
                .iter()
                .map(|(path, content)| (*path, content.as_slice()))
                .eq(expected)
        );
        // as after a self-extracting program
        let behind = [b"#!/bin/sh\n".as_slice(), &archive].concat();
        if !wide {
            let listing = listed(&behind).expect("is read");
            let (_, entry) = &listing.images[0];
            assert_eq!(
                unpacked(&behind, entry.as_ref().expect("usable")),
                b"one one one one"
            );
        }
    }
}

/// An archive with an entry of this name in bytes, and an extra field.
fn with_name(name: &[u8], extra: &[u8]) -> Vec<u8> {
    let plain = "x".repeat(name.len());
    let mut archive = zip(&[(&plain, b"one", false)], false, "");
    let directory = archive
        .windows(4)
        .position(|bytes| bytes == ENTRY)
        .expect("a directory");
    archive.splice(
        directory + 46..directory + 46 + name.len(),
        name.iter().chain(extra).copied(),
    );
    archive[directory + 30..directory + 32].copy_from_slice(&(extra.len() as u16).to_le_bytes());
    let end = archive.windows(4).position(|bytes| bytes == END).expect("an end");
    let length = (end - directory) as u32;
    archive[end + 12..end + 16].copy_from_slice(&length.to_le_bytes());
    archive
}

#[test]
fn names_in_other_alphabets_are_read_and_stay_apart() {
    let name = |archive: Vec<u8>| listed(&archive).expect("is read").images[0].0.clone();
    assert_eq!(name(with_name(b"Pr\x81fung \x94.png", &[])), "Prüfung ö.png");
    assert_eq!(name(with_name("größe.png".as_bytes(), &[])), "größe.png");
    assert_ne!(
        name(with_name(b"\x83\x65.png", &[])),
        name(with_name(b"\x83\x66.png", &[]))
    );
    // two bytes a letter: the second one looks like a backslash
    assert_eq!(name(with_name(b"\x83\\.png", &[])), "â\u{ff3c}.png");
    let mut field = vec![1];
    field.extend(crc32fast::hash(b"\x83\x65.png").to_le_bytes());
    field.extend("テ.png".bytes());
    let extra = [
        &0x7075_u16.to_le_bytes()[..],
        &(field.len() as u16).to_le_bytes(),
        &field,
    ]
    .concat();
    assert_eq!(name(with_name(b"\x83\x65.png", &extra)), "テ.png");
    // of another name: not believed
    assert_eq!(name(with_name(b"a.png", &extra)), "a.png");
}

#[test]
fn archives_in_an_archive_are_listed() {
    let inner = zip(&[("one.png", b"one", false)], false, "");
    let outer = zip(
        &[("lot.zip", &inner, false), ("two.ZIP", &inner, true)],
        false,
        "",
    );
    let listing = listed(&outer).expect("is read");
    for (path, entry) in &listing.archives {
        let own = unpacked(&outer, entry.as_ref().expect("usable"));
        assert_eq!(own, inner, "{path}");
        assert_eq!(listed(&own).expect("is read").images.len(), 1);
    }
    assert_eq!(listing.archives.len(), 2);
}

#[test]
fn bytes_behind_an_archive_are_no_harm_but_a_cut_one_is_not_read() {
    let files: [File<'_>; 1] = [("one.png", b"one", false)];
    for added in [&b"\0"[..], b"\r\n", &[7; 1000]] {
        let archive = [&zip(&files, false, "")[..], added].concat();
        assert_eq!(listed(&archive).expect("is read").images.len(), 1, "{added:?}");
    }
    // an archive within one that is cut off
    let inner = zip(&files, false, "");
    let outer = zip(
        &[("inner.zip", &inner, false), ("two.png", b"two", false)],
        false,
        "",
    );
    let cut = &outer[..outer.len() - 30];
    assert!(error(cut).contains("cut off"), "{}", error(cut));
}

#[test]
fn entries_that_would_exhaust_memory_are_refused_and_the_others_stay() {
    // a mask shrinks a thousandfold, and is read
    let zeros = vec![0; 20_000_000];
    let mut archive = zip(
        &[("mask.png", &zeros, true), ("good.png", b"good", false)],
        false,
        "",
    );
    let listing = listed(&archive).expect("is read");
    assert!(listing.images.iter().all(|(_, entry)| entry.is_ok()));

    // sizes as the directory has them: the first entry's are 20 bytes after its signature
    let directory = archive
        .windows(4)
        .position(|bytes| bytes == ENTRY)
        .expect("a directory");
    archive[directory + 24..directory + 28].copy_from_slice(&(MOST_BYTES as u32 + 1).to_le_bytes());
    let reason = listed(&archive).expect("is read").images[0]
        .1
        .clone()
        .expect_err("too large");
    assert!(reason.contains("100 MB"), "{reason}");
    archive[directory + 10] = 12;
    let reason = listed(&archive).expect("is read").images[0]
        .1
        .clone()
        .expect_err("bzip2");
    assert!(reason.contains("unusual way"), "{reason}");
    archive[directory + 8] = 1;
    let reason = listed(&archive).expect("is read").images[0]
        .1
        .clone()
        .expect_err("encrypted");
    assert!(reason.contains("encrypted"), "{reason}");
}

#[test]
fn entries_that_overlap_are_a_bomb() {
    let content = [7; 1000];
    let files: Vec<File<'_>> = (0..4).map(|_| ("same.png", content.as_slice(), false)).collect();
    let whole = zip(&files, false, "");
    let start = whole
        .windows(4)
        .position(|bytes| bytes == ENTRY)
        .expect("a directory");
    // one content, four entries
    let one = zip(&files[..1], false, "");
    let content = one
        .windows(4)
        .position(|bytes| bytes == ENTRY)
        .expect("a directory");
    let mut archive = [&one[..content], &whole[start..]].concat();
    let at = archive.len() - 6;
    archive[at..at + 4].copy_from_slice(&(content as u32).to_le_bytes());
    assert!(error(&archive).contains("zip bomb"), "{}", error(&archive));
}

#[test]
fn what_is_no_archive_is_said() {
    let archive = zip(&[("a.png", b"a", false)], false, "");
    assert!(error(b"").contains("no zip archive"));
    assert!(error(b"\x89PNG").contains("no zip archive"));
    assert!(error(&archive[..archive.len() - 3]).contains("cut off"));
    // the first half is missing
    assert!(error(&archive[20..]).contains("damaged"));
    assert_eq!(listed(&zip(&[], false, "")).expect("is read"), Listing::default());
}

proptest! {
    #[test]
    fn whatever_is_packed_comes_back(
        files in proptest::collection::vec(("[a-z]{1,8}(/[a-z]{1,8}){0,3}", proptest::collection::vec(any::<u8>(), 0..600), any::<bool>()), 0..12),
        wide in any::<bool>(),
        comment in "[ -~]{0,60}",
    ) {
        let named: Vec<(String, Vec<u8>, bool)> = files.into_iter().map(|(path, content, packed)| (format!("{path}.png"), content, packed)).collect();
        let files: Vec<File<'_>> = named.iter().map(|(path, content, packed)| (path.as_str(), content.as_slice(), *packed)).collect();
        let archive = zip(&files, wide, &comment);
        let listing = listed(&archive).expect("is read");
        prop_assert!(listing.others.is_empty());
        prop_assert_eq!(listing.images.len(), files.len());
        for ((path, entry), (expected, content, _)) in listing.images.iter().zip(&files) {
            prop_assert_eq!(path, expected);
            prop_assert_eq!(unpacked(&archive, entry.as_ref().expect("usable")), *content);
        }
    }

    #[test]
    fn damage_anywhere_is_a_sentence_or_a_listing(at in 0_usize..400, value in any::<u8>(), cut in 0_usize..60) {
        let files: [File<'_>; 3] = [("a.png", b"aaaaaaaaaa", true), ("b/c.png", b"cc", false), ("d.txt", b"d", false)];
        let mut archive = zip(&files, at % 2 == 0, "x");
        let at = at % archive.len();
        archive[at] = value;
        archive.truncate(archive.len() - cut.min(archive.len()));
        if let Ok(listing) = listed(&archive) {
            for entry in listing.images.iter().filter_map(|(_, entry)| entry.as_ref().ok()) {
                prop_assert!(entry.packed <= archive.len() as u64);
            }
        }
    }

    #[test]
    fn noise_is_no_archive(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = listed(&noise);
        let _ = listed(&[END.as_slice(), &noise].concat());
    }
}
