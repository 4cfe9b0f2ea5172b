//! Writes what `torch.save` writes, without PyTorch.

/// A state dict of `f32` tensors: names, shapes and numbers.
pub(crate) struct StateDict<'a>(pub(crate) Vec<(&'a str, &'a [usize], &'a [f32])>);

impl StateDict<'_> {
    /// As PyTorch writes it since version 1.6.
    pub(crate) fn zip(&self) -> Vec<u8> {
        let mut entries = vec![
            ("archive/data.pkl".to_owned(), self.pickle()),
            ("archive/byteorder".to_owned(), b"little".to_vec()),
        ];
        for (key, (_, _, numbers)) in self.0.iter().enumerate() {
            entries.push((format!("archive/data/{key}"), bytes(numbers)));
        }
        archive(&entries)
    }

    /// As PyTorch wrote it before, and does with `_use_new_zipfile_serialization=False`.
    pub(crate) fn legacy(&self) -> Vec<u8> {
        let mut file = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
        file.extend(b"\x80\x02M\xe9\x03.");
        file.extend(b"\x80\x02}");
        file.extend(text("little_endian"));
        file.extend(b"\x88s.");
        file.extend(self.pickle());
        file.extend(b"\x80\x02](");
        for key in 0..self.0.len() {
            file.extend(text(&key.to_string()));
        }
        file.extend(b"e.");
        for (_, _, numbers) in &self.0 {
            file.extend((numbers.len() as u64).to_le_bytes());
            file.extend(bytes(numbers));
        }
        file
    }

    fn pickle(&self) -> Vec<u8> {
        let mut pickle = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
        for (key, (name, shape, numbers)) in self.0.iter().enumerate() {
            pickle.extend(text(name));
            let strides: Vec<_> = (0..shape.len())
                .map(|axis| shape[axis + 1..].iter().product())
                .collect();
            pickle.extend(tensor(&key.to_string(), numbers.len(), shape, &strides));
        }
        pickle.extend(b"u.");
        pickle
    }
}

/// The instructions that make a tensor of the storage `key`, which holds `count` numbers.
pub(crate) fn tensor(key: &str, count: usize, shape: &[usize], strides: &[usize]) -> Vec<u8> {
    let mut pickle = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    pickle.extend(text("storage"));
    pickle.extend(b"ctorch\nFloatStorage\n");
    pickle.extend(text(key));
    pickle.extend(text("cpu"));
    pickle.extend(integer(count));
    pickle.extend(b"tQK\x00");
    for sizes in [shape, strides] {
        pickle.push(b'(');
        sizes.iter().for_each(|&size| pickle.extend(integer(size)));
        pickle.push(b't');
    }
    pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    pickle
}

/// A zip archive of entries that are stored as they are.
pub(crate) fn archive(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let offset = file.len() as u32;
        let mut head = vec![0; 6];
        head.extend([0; 4]);
        head.extend(crc32fast::hash(data).to_le_bytes());
        head.extend((data.len() as u32).to_le_bytes().repeat(2));
        head.extend((name.len() as u16).to_le_bytes());
        head.extend([0; 2]);
        file.extend(b"PK\x03\x04");
        file.extend(&head);
        file.extend(name.as_bytes());
        file.extend(data);
        directory.extend(b"PK\x01\x02\0\0");
        directory.extend(&head);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let offset = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend((entries.len() as u16).to_le_bytes().repeat(2));
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(offset.to_le_bytes());
    file.extend([0; 2]);
    file
}

/// The instruction for a string.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn integer(number: usize) -> Vec<u8> {
    [b"\x8a\x08", &(number as u64).to_le_bytes()[..]].concat()
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
