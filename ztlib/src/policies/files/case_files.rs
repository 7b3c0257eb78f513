//! The case files that a manifest names.

use ztlib_contract::cases::{Cases, MAX_FILE_BYTES, Table};

use super::folder::Folder;
use super::named_file::{FileRole, NamedFile};
use crate::load_error::LoadError;

/// The maximum number of cases in a set.
const MAX_CASES: usize = 2048;

/// Reads the files named by `tests` in a manifest, for the whole set or for one policy.
pub(crate) fn read(
    table: &Table<'_>,
    policy: Option<&str>,
    folder: &mut Folder,
    all: &mut Vec<Cases>,
    files: &mut Vec<NamedFile>,
) -> Result<(), LoadError> {
    for pattern in table.texts("tests")? {
        for name in folder.matching(pattern).map_err(|error| error.at_key(table, "tests"))? {
            let text = folder.read_text(&name, MAX_FILE_BYTES);
            let text = text.map_err(|error| error.at_key(table, "tests"))?;
            let line = table.line("tests");
            files.push(NamedFile::new(FileRole::Cases, &name, policy, text.as_bytes(), line));
            let cases = Cases::parse(&folder.show(&name), &text)?;
            all.push(match policy {
                Some(policy) => cases.about(policy),
                None => cases,
            });
            // Checked before the next file is read, since a few patterns can name more cases than
            // fit in memory.
            if all.iter().map(Cases::len).sum::<usize>() > MAX_CASES {
                let text = format!(
                    "a set has at most {MAX_CASES} cases, since all of them run whenever it is loaded: remove some"
                );
                return Err(table.error("tests", "too-many-cases", text).into());
            }
        }
    }
    Ok(())
}
