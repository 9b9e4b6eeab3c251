//! How deep components lie inside components, looked at before anything recurses into them.

use crate::limits::COMPONENT_NESTING_MAX;

/// The preamble of a component: the magic number, a version, and the layer that tells it from a module.
const COMPONENT_PREAMBLE: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
/// The section whose content is another component.
const COMPONENT_SECTION: u8 = 4;

/// Whether the nesting of a component is within the bound. Bytes that are no component are left to the validator.
pub(crate) fn is_within_bound(component: &[u8]) -> bool {
    // What is left of each component that is being read, the innermost last: no recursion of our own either.
    let mut open: Vec<&[u8]> = Vec::new();
    let Some(sections) = component.strip_prefix(&COMPONENT_PREAMBLE) else {
        return true;
    };
    open.push(sections);
    while let Some(mut sections) = open.pop() {
        while let Some((id, content, rest)) = section(sections) {
            sections = rest;
            let inner = content.strip_prefix(&COMPONENT_PREAMBLE);
            if let Some(inner) = inner.filter(|_| id == COMPONENT_SECTION) {
                if open.len() + 1 >= COMPONENT_NESTING_MAX {
                    return false;
                }
                open.push(sections);
                sections = inner;
            }
        }
    }
    true
}

/// The first section: its id, its content, and what follows.
fn section(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (id, mut bytes) = bytes.split_first()?;
    let mut length = 0_u64;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        bytes = rest;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let (content, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
            return Some((*id, content, rest));
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Vec<u8> {
        let text = "(component ".repeat(depth) + &")".repeat(depth);
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn the_bound_itself_is_taken_and_one_more_is_not() {
        assert!(is_within_bound(&nested(COMPONENT_NESTING_MAX)));
        assert!(!is_within_bound(&nested(COMPONENT_NESTING_MAX + 1)));
    }

    #[test]
    fn components_side_by_side_are_not_deep() {
        let many = "(component)".repeat(COMPONENT_NESTING_MAX * 3);
        let component = wat::parse_str(format!("(component {many})")).unwrap();
        assert!(is_within_bound(&component));
    }

    #[test]
    fn what_is_no_component_is_left_to_others() {
        for bytes in [
            &b""[..],
            b"\0asm",
            b"\0asm\x0d\0\x01\0\x04\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(is_within_bound(bytes), "{bytes:?}");
        }
    }
}
