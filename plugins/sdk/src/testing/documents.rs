//! JSON pointers into claims and documents, and the symbols in them.

use serde_json::Value as Json;

/// Why a read fails: the host's code and what is wrong.
pub(super) type Failure = (&'static str, &'static str);

pub(super) const fn malformed(text: &'static str) -> Failure {
    ("read-malformed-argument", text)
}

/// Of a claim: the caller brings it.
pub(super) const CLAIM_OF_WRONG_TYPE: Failure = ("read-wrong-type", "the claim is there and of another type");

pub(super) const WRONG_TYPE: Failure = ("read-wrong-type", "the value is there and of another type");

/// RFC 6901 section 3.
pub(super) fn check_pointer(pointer: &str) -> Result<(), Failure> {
    check(pointer, &['0', '1'], "in a JSON pointer `~` stands only as `~0` or `~1` (RFC 6901)")
}

fn check(pointer: &str, escapes: &[char], form: &'static str) -> Result<(), Failure> {
    if pointer.len() > 1024 {
        return Err(malformed("the pointer is longer than 1024 bytes"));
    }
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(malformed("a JSON pointer is empty or begins with `/` (RFC 6901)"));
    }
    if pointer.split('~').skip(1).any(|after| !after.starts_with(escapes)) {
        return Err(malformed(form));
    }
    Ok(())
}

/// What a pointer whose symbols are expanded by `symbol` points to. The segments are taken apart first, so that the value of
/// a symbol never adds one.
pub(super) fn find<'j>(
    json: &'j Json,
    pointer: &str,
    symbol: &dyn Fn(&str) -> Result<Option<String>, Failure>,
) -> Result<Option<&'j Json>, Failure> {
    let form = "in a pointer into a document `~` stands only as `~0` (for `~`), `~1` (`/`), `~2` (`{`) or `~3` (`}`)";
    check(pointer, &['0', '1', '2', '3'], form)?;
    let mut found = Some(json);
    for segment in segments(pointer) {
        // Every symbol is looked at, also behind one that is absent: a wrong one is a fault for every caller.
        let segment = expand(segment, symbol)?;
        found = found.zip(segment).and_then(|(json, segment)| member(json, &segment));
    }
    Ok(found)
}

/// The segments of a pointer. The slashes of a symbol ("{claim:/tenant}") do not part segments.
fn segments(pointer: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    let slash = move |c: char| {
        inside = (inside || c == '{') && c != '}';
        c == '/' && !inside
    };
    pointer.split(slash).skip(1)
}

fn member<'j>(json: &'j Json, segment: &str) -> Option<&'j Json> {
    match json {
        Json::Object(members) => members.get(segment),
        // RFC 6901 section 4: digits without a leading zero.
        Json::Array(items) => {
            let digits = segment.bytes().all(|byte| byte.is_ascii_digit());
            let number =
                segment.parse().ok().filter(|_| digits && (segment == "0" || !segment.starts_with('0')));
            items.get::<usize>(number?)
        }
        _ => None,
    }
}

/// A text with the values of its `{symbols}`; none where one is absent.
fn expand(
    text: &str,
    symbol: &dyn Fn(&str) -> Result<Option<String>, Failure>,
) -> Result<Option<String>, Failure> {
    let (mut expanded, mut absent, mut seen, mut rest) = (String::new(), false, false, text);
    while let Some((literal, after)) = rest.split_once('{') {
        if seen {
            return Err(malformed(
                "a segment of a pointer holds one symbol at most: give each a segment of its own",
            ));
        }
        seen = true;
        push(&mut expanded, literal)?;
        let (name, after) = after.split_once('}').ok_or(malformed("a symbol ends with `}`"))?;
        match symbol(name)? {
            Some(value) => expanded.push_str(&value),
            None => absent = true,
        }
        rest = after;
    }
    push(&mut expanded, rest)?;
    Ok((!absent).then_some(expanded))
}

fn push(expanded: &mut String, literal: &str) -> Result<(), Failure> {
    if literal.contains('}') {
        return Err(malformed("a symbol begins with `{`"));
    }
    let literal = literal.replace("~1", "/").replace("~2", "{").replace("~3", "}").replace("~0", "~");
    expanded.push_str(&literal);
    Ok(())
}
