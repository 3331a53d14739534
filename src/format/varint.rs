//! LEB128 varints, and checked reading from the front of a slice.

use crate::error::{Error, Result};

/// Appends `value` as a varint: 7 bits a byte, low bits first, the high bit set on all bytes but the last.
pub(crate) fn put(out: &mut impl Extend<u8>, mut value: u64) {
    while value >= 0x80 {
        out.extend([value as u8 | 0x80]);
        value >>= 7;
    }
    out.extend([value as u8]);
}

/// Takes a varint off the front of `input`; only the shortest form of a value is accepted.
pub(crate) fn take(input: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = take_byte(input)?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return Err(Error::corrupted("a varint of more than 64 bits"));
        }
        value |= bits << shift;
        if byte < 0x80 {
            return if byte == 0 && shift > 0 {
                Err(Error::corrupted("a varint that ends in a zero byte"))
            } else {
                Ok(value)
            };
        }
    }
    Err(Error::corrupted("a varint of more than 10 bytes"))
}

/// Appends `part` after its length.
pub(crate) fn put_part(out: &mut impl Extend<u8>, part: &[u8]) {
    put(out, part.len() as u64);
    out.extend(part.iter().copied());
}

/// Takes what [`put_part`] wrote.
pub(crate) fn take_part<'a>(input: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = take(input)?;
    let (part, rest) =
        usize::try_from(length).ok().and_then(|length| input.split_at_checked(length)).ok_or_else(|| {
            Error::corrupted(format!("a part of {length} bytes where only {} are left", input.len()))
        })?;
    *input = rest;
    Ok(part)
}

/// Takes one byte.
pub(crate) fn take_byte(input: &mut &[u8]) -> Result<u8> {
    let [byte] = take_array(input)?;
    Ok(byte)
}

/// Takes `N` bytes.
pub(crate) fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N]> {
    let (array, rest) = input.split_first_chunk().ok_or_else(|| {
        Error::corrupted(format!("{N} bytes were expected where only {} are left", input.len()))
    })?;
    *input = rest;
    Ok(*array)
}

/// Makes sure that everything was taken.
pub(crate) fn finish(input: &[u8]) -> Result<()> {
    if input.is_empty() {
        Ok(())
    } else {
        Err(Error::corrupted(format!("{} bytes more than expected", input.len())))
    }
}
