//! What `torch.save` wrote before version 1.6: pickles one after the other, then the numbers.

use std::collections::BTreeMap;

use super::bytes::Bytes;
use super::pickle::{Object, Pickle, Value};
use super::refuse;
use crate::{Error, Result};

/// The first pickle's only content, little endian.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The second pickle's.
const PROTOCOL: i64 = 1001;

fn unknown() -> Error {
    refuse("it is a pickle of something else, so save the network's state dict with torch.save")
}

/// The state dict's pickle and the storages by key.
pub(super) fn read(file: &[u8]) -> Result<(Pickle<'_>, BTreeMap<&str, &[u8]>)> {
    let mut input = Bytes(file);
    if Pickle::read(&mut input)?.root != Value::Long(MAGIC) {
        return Err(unknown());
    }
    if Pickle::read(&mut input)?.root != Value::Int(PROTOCOL) {
        return Err(unknown());
    }
    let system = Pickle::read(&mut input)?;
    let little = (Value::Text("little_endian"), Value::Bool(true));
    if !system
        .dict(system.root)
        .is_some_and(|dict| dict.contains(&little))
    {
        return Err(refuse(
            "a big-endian machine wrote it, so save it again on another",
        ));
    }
    let pickle = Pickle::read(&mut input)?;
    let sizes: BTreeMap<&str, u64> = pickle
        .storages()
        .map(|storage| (storage.key, storage.element.size()))
        .collect();
    let order = Pickle::read(&mut input)?;
    let Some(Object::List(order)) = order.object(order.root) else {
        return Err(unknown());
    };
    let mut storages = BTreeMap::new();
    for key in order {
        let Value::Text(key) = *key else {
            return Err(unknown());
        };
        let size = *sizes.get(key).ok_or_else(unknown)?;
        let count = input.u64()?;
        storages.insert(key, input.take(count.checked_mul(size).ok_or_else(unknown)?)?);
    }
    Ok((pickle, storages))
}
