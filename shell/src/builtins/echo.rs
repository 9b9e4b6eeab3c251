//! `echo`, as bash's: with -n, -e and -E.

/// What `echo` prints.
pub(super) fn echo(arguments: &[String]) -> Vec<u8> {
    let mut newline = true;
    let mut escapes = false;
    let options = arguments
        .iter()
        .take_while(|argument| {
            argument.strip_prefix('-').is_some_and(|letters| {
                !letters.is_empty() && letters.chars().all(|letter| "neE".contains(letter))
            })
        })
        .count();
    for letter in arguments[..options]
        .iter()
        .flat_map(|option| option.chars())
    {
        match letter {
            'n' => newline = false,
            'e' => escapes = true,
            'E' => escapes = false,
            _ => {}
        }
    }
    let text = arguments[options..].join(" ");
    let mut output = Vec::new();
    if escapes {
        newline &= unescape(&text, &mut output);
    } else {
        output.extend_from_slice(text.as_bytes());
    }
    if newline {
        output.push(b'\n');
    }
    output
}

/// Replaces what `-e` replaces; false when `\c` ended the output.
fn unescape(text: &str, output: &mut Vec<u8>) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        output.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let Some(letter) = rest.chars().next() else {
            output.push(b'\\');
            return true;
        };
        let after = &rest[letter.len_utf8()..];
        let simple = match letter {
            'a' => Some(7),
            'b' => Some(8),
            'e' | 'E' => Some(0x1b),
            'f' => Some(0x0c),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(0x0b),
            '\\' => Some(b'\\'),
            'c' => return false,
            _ => None,
        };
        if let Some(byte) = simple {
            output.push(byte);
            rest = after;
            continue;
        }
        let (radix, digits_max) = match letter {
            '0' => (8, 3),
            'x' => (16, 2),
            'u' => (16, 4),
            'U' => (16, 8),
            _ => (0, 0),
        };
        let digits = after
            .chars()
            .take(digits_max)
            .take_while(|digit| digit.is_digit(radix.max(2)))
            .count();
        match (letter, u32::from_str_radix(&after[..digits], radix.max(2))) {
            // Octal and hexadecimal give a byte, of which only eight bits count.
            ('0', Err(_)) => output.push(0),
            ('0' | 'x', Ok(value)) => output.push(value.to_le_bytes()[0]),
            ('u' | 'U', Ok(value)) if char::from_u32(value).is_some() => {
                let character = char::from_u32(value).unwrap_or_default();
                output.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => {
                output.push(b'\\');
                continue;
            }
        }
        rest = &after[digits..];
    }
    output.extend_from_slice(rest.as_bytes());
    true
}
