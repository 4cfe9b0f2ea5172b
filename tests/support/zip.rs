//! Writes zip archives, for tests.

/// A file to pack: path, content, whether to compress.
pub(crate) type File<'a> = (&'a str, &'a [u8], bool);

/// Writes an archive, with 64-bit records if `wide`.
pub(crate) fn zip(files: &[File<'_>], wide: bool, comment: &str) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (path, content, compress) in files {
        let (method, packed) = if *compress {
            (8_u16, miniz_oxide::deflate::compress_to_vec(content, 6))
        } else {
            (0, content.to_vec())
        };
        let sizes = |wide: bool| {
            let narrow = |size: usize| if wide { u32::MAX } else { size as u32 };
            [narrow(packed.len()), narrow(content.len())]
        };
        let head = |wide: bool| {
            let mut head = vec![20, 0, 0, 8];
            head.extend(method.to_le_bytes());
            head.extend([0; 4]);
            head.extend(crc32fast::hash(content).to_le_bytes());
            head.extend(sizes(wide).into_iter().flat_map(u32::to_le_bytes));
            head.extend((path.len() as u16).to_le_bytes());
            head
        };
        let offset = archive.len() as u32;
        archive.extend(*b"PK\x03\x04");
        archive.extend(head(false));
        archive.extend(0_u16.to_le_bytes());
        archive.extend(path.bytes());
        archive.extend(&packed);

        let mut extra = Vec::new();
        if wide {
            extra.extend([9, 0, 2, 0, 7, 7]);
            extra.extend([1_u16, 16].into_iter().flat_map(u16::to_le_bytes));
            extra.extend(
                [content.len() as u64, packed.len() as u64]
                    .into_iter()
                    .flat_map(u64::to_le_bytes),
            );
        }
        directory.extend(*b"PK\x01\x02");
        directory.extend([20, 0]);
        directory.extend(head(wide));
        directory.extend([extra.len() as u16, 0].into_iter().flat_map(u16::to_le_bytes));
        directory.extend([0; 8]);
        directory.extend(offset.to_le_bytes());
        directory.extend(path.bytes());
        directory.extend(extra);
    }
    let start = archive.len();
    archive.extend(&directory);
    let (count, length) = (files.len(), directory.len());
    if wide {
        let at = archive.len() as u64;
        archive.extend(*b"PK\x06\x06");
        archive.extend(44_u64.to_le_bytes());
        archive.extend([0; 12]);
        archive.extend(
            [count, count, length, start]
                .into_iter()
                .flat_map(|value| (value as u64).to_le_bytes()),
        );
        archive.extend(*b"PK\x06\x07");
        archive.extend([0; 4]);
        archive.extend(at.to_le_bytes());
        archive.extend(1_u32.to_le_bytes());
    }
    archive.extend(*b"PK\x05\x06");
    archive.extend([0; 4]);
    archive.extend([count as u16; 2].into_iter().flat_map(u16::to_le_bytes));
    let narrow = |value: usize| if wide { u32::MAX } else { value as u32 };
    archive.extend(
        [narrow(length), narrow(start)]
            .into_iter()
            .flat_map(u32::to_le_bytes),
    );
    archive.extend((comment.len() as u16).to_le_bytes());
    archive.extend(comment.bytes());
    archive
}
