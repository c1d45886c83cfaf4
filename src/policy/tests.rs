use super::*;

const SHORT: &str = "format = \"claviger/v1 policy\"\nname = \"n\"\nowner = \"o\"\nthreshold = 2\n";

fn refused(text: &str) -> String {
    let error = Policy::parse(text).expect_err(text);
    assert!(error.hint().is_some());
    error.to_string()
}

#[test]
fn the_template_says_the_defaults() {
    let written = Policy::parse(&Policy::template("payments \"root\" \\", "Zo\u{eb}", 3, 2)).unwrap();
    let short = SHORT.replace("\"n\"", r#""payments \"root\" \\""#).replace("\"o\"", "\"Zo\u{eb}\"").replace('2', "3");
    assert_eq!(written, Policy::parse(&short).unwrap());
    assert_eq!(written.name, "payments \"root\" \\");
    assert_eq!((written.threshold, written.copies, written.grant_limit), (3, 2, 14_400));
}

#[test]
fn every_key_is_read() {
    let text = format!(
        "{SHORT}copies = 3\nmedia = [\"a\", \"../b\"]\ngrant_limit = \"90m\"\nseparate_roles = false\ntouch = \"cached\"\n\
         attestation = \"required\"\ncheck_days = 30\nrotate_days = 100\npassword = {{ length = 16, alphabet = \"{}\" }}\n",
        ('#'..='Z').collect::<String>() + &('a'..='z').collect::<String>()
    );
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.media, [PathBuf::from("a"), PathBuf::from("../b")]);
    assert_eq!((policy.copies, policy.grant_limit, policy.separate_roles), (3, 5400, false));
    assert_eq!((policy.touch, policy.attestation), (Touch::Cached, Attestation::Required));
    assert_eq!((policy.check_days, policy.rotate_days, policy.password.length()), (30, 100, 16));
}

#[test]
fn errors_say_where_and_what_is_allowed() {
    let with = |line: &str| format!("{SHORT}{line}\n");
    let cases = [
        (with("treshold = 3"), "line 5, column 1: unknown field `treshold`, expected one of `format`,"),
        (
            with("touch = \"sometimes\""),
            "line 5, column 9: unknown variant `sometimes`, expected one of `always`, `cached`, `never`",
        ),
        (with("copies = 0"), "line 5, column 10: copies: must be a number from 1"),
        (with("check_days = 0"), "line 5, column 14: check_days: must be a number from 1"),
        (with("rotate_days = 70000"), "line 5, column 15: invalid value"),
        (
            with("grant_limit = \"4 h\""),
            "line 5, column 15: grant_limit: \"4 h\" is not a time like `90m`, `4h` or `2d`",
        ),
        (with("media = [\"a\", \"\"]"), "line 5, column 15: media: must be paths"),
        (
            with("attestation_roots = [\"x\"]"),
            "line 5, column 22: attestation_roots: must be strings with one certificate",
        ),
        (
            with("password = { length = 4 }"),
            "line 5, column 12: password: a password of 4 characters out of 57 holds 23 bits",
        ),
        (with("password = { length = 4, bits = 9 }"), "line 5, column 26: unknown field `bits`"),
        (with("name = \"again\""), "line 5, column 1: duplicate key"),
        (with("separate_roles = \"no\""), "line 5, column 18: invalid type"),
        (
            SHORT.replace("threshold = 2", "threshold = 1"),
            "line 4, column 13: threshold: must be a number from 2 to 255",
        ),
        (SHORT.replace("threshold = 2", "threshold = 256"), "line 4, column 13: invalid value"),
        (SHORT.replace("threshold = 2", ""), "missing field `threshold`"),
        (SHORT.replace("v1", "v2"), "line 1, column 10: format: must be `claviger/v1 policy`"),
        (SHORT.replace("\"n\"", "\"\""), "line 2, column 8: name: must be 1 to 80 printable"),
        (SHORT.replace("\"n\"", "\"a\\u001b[2J\""), "line 2, column 8: name: must be 1 to 80 printable"),
        (SHORT.replace("\"o\"", &format!("\"{}\"", "o".repeat(81))), "line 3, column 9: owner: must be 1 to 80"),
        ("format = ".to_owned(), "line 1, column 10"),
        (String::new(), "missing field `format`"),
    ];
    for (text, expected) in cases {
        let found = refused(&text);
        assert!(found.contains(expected), "{text}\n{found}");
    }
}

#[test]
fn durations_are_minutes_hours_or_days() {
    assert_eq!(duration("90m").unwrap(), 5400);
    assert_eq!(duration("4h").unwrap(), 14_400);
    assert_eq!(duration("9999d").unwrap(), 863_913_600);
    for bad in
        ["", "m", "4", "0h", "04h", "-4h", "+4h", "4H", "4s", "4.5h", " 4h", "4h ", "10000d", "4\u{e9}", "\u{664}h"]
    {
        assert!(matches!(duration(bad), Err(PolicyError::Duration { .. })), "{bad:?}");
    }
}

#[test]
fn errors_as_people_read_them() {
    let errors = [
        PolicyError::Syntax { line: 5, column: 1, problem: "unknown field `treshold`".to_owned() },
        PolicyError::Value {
            line: 5,
            column: 10,
            key: "copies",
            problem: Box::new(PolicyError::NotAllowed { allowed: "a number from 1" }),
        },
        PolicyError::NotAllowed { allowed: "a number from 1" },
        PolicyError::Duration { found: "4 h".to_owned() },
        PolicyError::Alphabet,
        PolicyError::Weak { length: 4, size: 57, bits: 23 },
        PolicyError::Long { length: 2000 },
    ];
    insta::assert_snapshot!(crate::error::told(&errors));
}
