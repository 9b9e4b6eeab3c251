//! The results file: a section for each scenario, replaced one at a time.

use anyhow::Context;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const TITLE: &str = "# Results\n\nA section for each scenario of `cargo xtask bench`; only figures of one run compare.\n";

/// Puts `text` in the place of the scenario's section, or at the end. Other sections stay as they are.
pub fn replace(path: &Path, scenario: &str, text: &str) -> anyhow::Result<()> {
    let before = match fs::read_to_string(path) {
        Ok(before) => before,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    fs::write(path, replaced(&before, scenario, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn replaced(before: &str, scenario: &str, text: &str) -> String {
    let mark = format!("<!-- scenario {scenario} -->\n");
    let section = format!("{mark}{}\n", text.trim_end());
    let mut sections: Vec<String> = Vec::new();
    let mut found = false;
    for old in before.split("<!-- scenario ").skip(1) {
        let old = format!("<!-- scenario {old}");
        if old.starts_with(&mark) {
            found = true;
            sections.push(section.clone());
        } else {
            sections.push(format!("{}\n", old.trim_end()));
        }
    }
    if !found {
        sections.push(section);
    }
    format!("{TITLE}\n{}", sections.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn a_section_is_replaced_and_the_others_stay_in_order() {
        let one = replaced("", "one", "## One\n\n1\n");
        let two = replaced(&one, "two", "## Two\n\n2\n");
        let again = replaced(&two, "one", "## One\n\n3\n");
        assert_eq!(again, two.replace("\n1\n", "\n3\n"));
        assert!(again.find("## One") < again.find("## Two"), "{again}");
    }

    #[test]
    fn what_is_no_section_goes() {
        let text = replaced("# An older form\n\nwords\n", "one", "## One\n");
        assert!(!text.contains("older") && text.contains("## One"), "{text}");
    }
}
