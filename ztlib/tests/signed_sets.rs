//! Signed policy sets: who may vouch for one, what a signature binds, and why an old one does not
//! come back.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

#[path = "support/sets.rs"]
mod sets;

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sets::{ALLOW_ALL, Folder, allows, digest, document, ed25519, installed, p256, pem};
use ztlib::policies::{PolicyStore, SigningKey, TrustedKey};

#[test]
fn a_set_that_a_trusted_key_signed_loads_and_says_who_signed() {
    for key in [ed25519(), p256()] {
        let folder = Folder::new();
        let manifest = folder.draft(7, "allow.wasm", "");
        folder.sign(&manifest, &key);
        let policies = folder.trusting(&key).load().unwrap();
        assert!(allows(&policies));
        let status = policies.status();
        assert_eq!(
            (status.signer, status.version, status.highest_version),
            (Some(key.id()), Some(7), Some(7))
        );
        // The same signature as bytes, and as base64 over several lines.
        let text = folder.read("policies.toml.sig");
        let bytes = STANDARD.decode(text.trim_ascii_end()).unwrap();
        folder.put("policies.toml.sig", &bytes);
        policies.reload().unwrap();
        let lines: Vec<_> = text.chunks(20).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        folder.put("policies.toml.sig", lines.join("\r\n"));
        policies.reload().unwrap();
    }
}

#[test]
fn a_set_is_signed_unless_a_verb_says_otherwise() {
    let (folder, key) = (Folder::new(), ed25519());
    folder.write("policies.toml", folder.draft(1, "allow.wasm", ""));
    // Nobody is trusted.
    let error = PolicyStore::from_manifest(folder.manifest()).load().unwrap_err();
    assert_eq!((error.code(), error.to_string().contains("trust_key(")), ("unsigned-set", true), "{error}");
    // Somebody is, and did not sign.
    let error = folder.trusting(&key).load().unwrap_err();
    assert_eq!(error.code(), "unsigned-set");
    assert!(error.file().unwrap().ends_with("policies.toml.sig"), "{error}");
    // The verb.
    let policies = folder.trusting(&key).allow_unsigned().load().unwrap();
    assert_eq!((policies.status().signer, policies.status().version), (None, Some(1)));
    // A signature that is there is good or the set is refused, with the verb or without.
    folder.write("policies.toml.sig", ed25519().sign(&folder.read("policies.toml")).unwrap());
    assert_eq!(policies.reload().unwrap_err().code(), "bad-signature");
    folder.write("policies.toml.sig", key.sign(&folder.read("policies.toml")).unwrap());
    policies.reload().unwrap();
    assert_eq!(policies.status().signer, Some(key.id()));
}

#[test]
fn a_signature_holds_for_exactly_the_signed_bytes() {
    for key in [ed25519(), p256()] {
        let folder = Folder::new();
        let manifest = folder.draft(1, "allow.wasm", "# the end");
        folder.sign(&manifest, &key);
        assert!(folder.trusting(&key).verify().is_ok());
        let refused = || folder.trusting(&key).verify().unwrap_err().code();
        // Also a change that would be a mistake in the manifest: nothing is parsed before it is
        // verified.
        for at in 0..manifest.len() {
            let mut changed = manifest.clone().into_bytes();
            changed[at] ^= 1;
            folder.write("policies.toml", changed);
            assert_eq!(refused(), "bad-signature", "byte {at}");
        }
        for changed in
            [format!("{manifest}\n"), format!(" {manifest}"), manifest.replace('\n', "\r\n"), String::new()]
        {
            folder.write("policies.toml", changed);
            assert_eq!(refused(), "bad-signature");
        }
        folder.write("policies.toml", &manifest);
        let signature = STANDARD.decode(folder.read("policies.toml.sig").trim_ascii_end()).unwrap();
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            folder.write("policies.toml.sig", STANDARD.encode(changed));
            assert_eq!(refused(), "bad-signature", "byte {at} of the signature");
        }
        for (what, code) in [
            (Vec::new(), "malformed-signature"),
            (b"\n".to_vec(), "malformed-signature"),
            (b"AAAA".to_vec(), "malformed-signature"),
            (b"AAAAA".to_vec(), "malformed-signature"),
            (vec![0; 64], "bad-signature"),
            (vec![0; 100], "malformed-signature"),
            (vec![0; 5000], "file-too-large"),
            // r = s = 0 (CVE-2022-21449), and an empty one.
            (vec![0x30, 6, 2, 1, 0, 2, 1, 0], "bad-signature"),
            (vec![0x30, 0], "malformed-signature"),
            (b"-----BEGIN SIGNATURE-----".to_vec(), "bad-signature"),
        ] {
            folder.write("policies.toml.sig", &what);
            assert_eq!(refused(), code, "{what:?}");
        }
    }
}

#[test]
fn a_signature_binds_everything_that_the_manifest_names() {
    let key = ed25519();
    let roles = r#"{"admin": ["alice"]}"#;
    let config = "a: 1\n";
    let with_config = |more: &str| format!("config = 'any.yaml'\n{more}");
    let pinned = format!("config-sha256 = '{}'\n", digest(config));
    let cases: Vec<(String, &str, Option<usize>, &str)> = vec![
        (document("roles", "roles.json", roles), "", None, ""),
        (with_config(&pinned), "", None, ""),
        ("[[document]]\nname = 'roles'\nfile = 'roles.json'\nallow-unsigned = true\n".into(), "", None, ""),
        ("[[document]]\nname = 'roles'\nfile = 'roles.json'\n".into(), "missing-key", Some(8), "sha256 = \""),
        (
            "[[document]]\nname = 'roles'\nfile = 'roles.json'\nallow-unsigned = false\n".into(),
            "missing-key",
            Some(8),
            "sha256 = \"",
        ),
        (document("roles", "roles.json", "{}"), "digest-mismatch", Some(11), "`roles.json`"),
        (
            format!("{}allow-unsigned = true", document("roles", "roles.json", roles)),
            "contradicting-keys",
            Some(12),
            "remove",
        ),
        (with_config(""), "missing-key", Some(4), "config-sha256 = \""),
        (with_config("config-sha256 = 'abc'"), "bad-digest", Some(9), "64 hexadecimal"),
        (
            with_config(&format!("config-sha256 = '{}'", digest("a: 2"))),
            "digest-mismatch",
            Some(9),
            "`any.yaml`",
        ),
        (pinned, "missing-key", Some(4), "`config`"),
    ];
    for (more, code, line, says) in cases {
        let folder = Folder::new();
        folder.write("roles.json", roles);
        folder.write("any.yaml", config);
        let manifest = folder.draft(1, "any.wasm", &more);
        folder.sign(&manifest, &key);
        // The signer's tool says the same as the service, before anything is signed.
        fs::remove_file(folder.at("policies.toml.sig")).unwrap();
        let signed = key.sign_manifest(&folder.manifest());
        assert_eq!(folder.at("policies.toml.sig").exists(), signed.is_ok());
        folder.sign(&manifest, &key);
        let loaded = folder.trusting(&key).load();
        match (loaded, signed) {
            (Ok(_), Ok(())) => assert_eq!(code, "", "{manifest}"),
            (Err(loaded), Err(signed)) => {
                assert_eq!((loaded.code(), loaded.line()), (code, line), "{manifest}\n{loaded}");
                assert!(loaded.to_string().contains(says), "{loaded}\nshould say {says}");
                assert_eq!(loaded, signed);
            }
            other => panic!("{other:?}"),
        }
    }
    // Without a version, and the module.
    let folder = Folder::new();
    let manifest = folder.draft(1, "allow.wasm", "").replace("version = 1\n", "");
    folder.sign(&manifest, &key);
    let error = folder.trusting(&key).load().unwrap_err();
    assert_eq!((error.code(), error.line()), ("missing-key", Some(1)), "{error}");
    folder.sign(&folder.draft(1, "allow.wasm", ""), &key);
    folder.write("allow.wasm", sets::DENY_ALL);
    assert_eq!(folder.trusting(&key).load().unwrap_err().code(), "digest-mismatch");
    // Unsigned, none of this is asked for.
    folder.write("allow.wasm", ALLOW_ALL);
    folder.write("policies.toml", &manifest);
    assert!(PolicyStore::from_manifest(folder.manifest()).allow_unsigned().load().is_ok());
}

#[test]
fn a_document_that_the_signer_left_open_changes_without_a_signature() {
    let (folder, key) = (Folder::new(), ed25519());
    let open = "[[document]]\nname = 'roles'\nfile = 'roles.json'\nallow-unsigned = true\n";
    folder.write("roles.json", "{}");
    folder.sign(&folder.draft(1, "allow.wasm", open), &key);
    let policies = folder.trusting(&key).load().unwrap();
    let first = policies.status();
    assert_eq!(first.unsigned_documents, ["roles".into()]);
    folder.put("roles.json", r#"{"a": 1}"#);
    assert_ne!(policies.reload().unwrap(), first.revision);
    // One that is bound does not.
    folder.sign(&folder.draft(2, "allow.wasm", &document("roles", "roles.json", "{}")), &key);
    assert_eq!(policies.reload().unwrap_err().code(), "digest-mismatch");
    folder.put("roles.json", "{}");
    assert_eq!(policies.reload().unwrap(), first.revision);
    assert!(policies.status().unsigned_documents.is_empty());
}

#[test]
fn keys_rotate_while_sets_go_on_loading() {
    let (folder, old, new) = (Folder::new(), ed25519(), p256());
    let manifest = folder.draft(1, "allow.wasm", "");
    folder.sign(&manifest, &old);
    let old_alone = folder.trusting(&old).load().unwrap();
    // Both in one text, one of them twice.
    let both = format!("{}{}{}", old.public_key_pem(), new.public_key_pem(), old.public_key_pem());
    let both = || PolicyStore::from_manifest(folder.manifest()).trust_key(&both).service("shop");
    assert_eq!(both().load().unwrap().status().signer, Some(old.id()));
    folder.sign(&manifest, &new);
    assert_eq!(both().load().unwrap().status().signer, Some(new.id()));
    let error = old_alone.reload().unwrap_err();
    assert_eq!(error.code(), "bad-signature");
    assert!(error.to_string().contains(&old.id().to_string()), "{error}");
    assert!(folder.trusting(&new).load().is_ok());
}

#[test]
fn an_older_set_does_not_come_back() {
    let (folder, key) = (Folder::new(), ed25519());
    let two = folder.draft(2, "allow.wasm", "");
    folder.sign(&two, &key);
    let policies = folder.trusting(&key).load().unwrap();
    let refused = |manifest: &str, code: &str| {
        folder.sign(manifest, &key);
        let error = policies.reload().unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.file().unwrap().ends_with("policies.toml"), "{error}");
        assert_eq!(policies.status().highest_version, Some(2));
        assert!(allows(&policies));
    };
    refused(&folder.draft(1, "allow.wasm", ""), "older-version");
    refused(&folder.draft(1, "deny.wasm", ""), "older-version");
    refused(&folder.draft(2, "deny.wasm", ""), "version-reused");
    refused(&format!("{two}# the same, and yet another text\n"), "version-reused");
    // A candidate that does not come into force raises nothing.
    folder.write("broken.wasm", "x");
    refused(&folder.draft(9, "broken.wasm", ""), "not-a-component");
    // The very same again, signed again.
    folder.sign(&two, &key);
    policies.reload().unwrap();
    // What an older set said comes back under a higher number.
    folder.sign(&folder.draft(3, "deny.wasm", ""), &key);
    policies.reload().unwrap();
    folder.sign(&folder.draft(4, "allow.wasm", ""), &key);
    policies.reload().unwrap();
    assert!(allows(&policies));
    assert_eq!(policies.status().highest_version, Some(4));
}

#[test]
fn an_older_set_does_not_come_back_after_a_restart_either() {
    let (folder, key) = (Folder::new(), ed25519());
    let mark = folder.at("state-version");
    let load = || folder.trusting(&key).keep_version_in(&mark).load();
    let code = || load().unwrap_err().code();
    folder.sign(&folder.draft(5, "allow.wasm", ""), &key);
    // Looking is not loading.
    folder.trusting(&key).keep_version_in(&mark).verify().unwrap();
    assert!(!mark.exists());
    let policies = load().unwrap();
    folder.sign(&folder.draft(6, "deny.wasm", ""), &key);
    policies.reload().unwrap();
    drop(policies);
    load().unwrap();
    folder.sign(&folder.draft(5, "allow.wasm", ""), &key);
    assert_eq!(code(), "older-version");
    folder.sign(&folder.draft(6, "allow.wasm", ""), &key);
    assert_eq!(code(), "version-reused");
    folder.sign(&folder.draft(7, "allow.wasm", ""), &key);
    for damaged in ["", "7", "7 abc", "x 1", "\u{fffd}"] {
        fs::write(&mark, damaged).unwrap();
        assert_eq!(code(), "version-mark-unreadable", "{damaged:?}");
    }
    fs::remove_file(&mark).unwrap();
    load().unwrap();
    assert!(fs::read_to_string(&mark).unwrap().starts_with("7 "));
    // What cannot be written down does not come into force.
    let nowhere = folder.at("missing/version");
    let error = folder.trusting(&key).keep_version_in(&nowhere).load().unwrap_err();
    assert_eq!(error.code(), "version-not-kept");
    // Without a file, what the service is told.
    assert_eq!(folder.trusting(&key).least_version(8).load().unwrap_err().code(), "older-version");
    assert!(folder.trusting(&key).least_version(7).load().is_ok());
}

#[test]
fn what_is_verified_is_what_is_loaded() {
    // Somebody swaps manifest, signature and module without pause: what loads is what was signed,
    // never a mixture.
    let (folder, key) = (Folder::new(), ed25519());
    let good = folder.draft(1, "allow.wasm", "");
    let forged = format!(
        "format = 1\nversion = 1\nfor = 'shop'\n[[policy]]\nname = 'p'\nmodule = 'deny.wasm'\nsha256 = '{}'\n",
        digest(sets::DENY_ALL)
    );
    folder.sign(&good, &key);
    let policies = folder.trusting(&key).load().unwrap();
    let first = policies.status().revision;
    let stop = AtomicBool::new(false);
    let (mut loaded, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (manifest, module) in [(&forged, sets::DENY_ALL), (&good, ALLOW_ALL)] {
                    folder.put("policies.toml", manifest);
                    folder.put("allow.wasm", module);
                }
            }
        });
        for _ in 0..20_000 {
            match policies.reload() {
                Ok(revision) => {
                    assert_eq!(revision, first);
                    loaded += 1;
                }
                Err(error) => {
                    assert!(["bad-signature", "digest-mismatch"].contains(&error.code()), "{error}");
                    refused += 1;
                }
            }
            assert!(allows(&policies));
            if loaded > 100 && refused > 100 {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(loaded > 0 && refused > 0, "{loaded} loaded, {refused} refused");
}

#[test]
fn only_plain_public_keys_of_two_kinds_are_trusted() {
    let (signer, private) = SigningKey::generate().unwrap();
    let rsa_2048_header = STANDARD.decode("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA").unwrap();
    let good = signer.public_key_pem();
    let p256 = STANDARD
        .decode(p256().public_key_pem().lines().filter(|line| !line.starts_with('-')).collect::<String>())
        .unwrap();
    let mut off_curve = p256.clone();
    off_curve[90] ^= 1;
    let code = |text: &str| TrustedKey::from_pem(text.as_bytes()).unwrap_err().to_string();
    for (text, says) in [
        ("".to_owned(), "the text has no key"),
        ("MCowBQYDK2VwAyEA".to_owned(), "the text has no key"),
        (private.clone(), "not a public key"),
        (pem("CERTIFICATE", &p256), "a certificate"),
        (good.replace("-----END", "!!\n-----END"), "not PEM"),
        (format!("{good}{good}"), "more than one key"),
        (pem("PUBLIC KEY", &rsa_2048_header), "neither"),
        (pem("PUBLIC KEY", &p256[..90]), "neither"),
        (pem("PUBLIC KEY", &[&p256[..], &[0]].concat()), "neither"),
        (pem("PUBLIC KEY", &off_curve), "not a point"),
    ] {
        let error = code(&text);
        assert!(error.contains(says) && error.contains("(bad-key)"), "{error}\nshould say {says}");
        assert!(!error.contains(private.lines().nth(1).unwrap()), "{error}");
        let folder = Folder::new();
        folder.write("policies.toml", folder.draft(1, "allow.wasm", ""));
        if says != "more than one key" {
            let loader = PolicyStore::from_manifest(folder.manifest())
                .trust_key(&text)
                .service("shop")
                .allow_unsigned();
            assert_eq!(loader.load().unwrap_err().code(), "bad-key");
        }
    }
    assert!(TrustedKey::from_pem(pem("PUBLIC KEY", &p256).as_bytes()).is_ok());
    let many: String = (0..17).map(|_| ed25519().public_key_pem()).collect();
    let error = PolicyStore::from_manifest("x").trust_key(many).load().unwrap_err();
    assert_eq!(error.code(), "too-many-keys");
    for text in [
        good.as_str(),
        "",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
    ] {
        assert_eq!(SigningKey::from_pem(text.as_bytes()).unwrap_err().code(), "bad-key");
    }
    let shown = format!("{signer:?} {:?}", TrustedKey::from_pem(good.as_bytes()).unwrap());
    assert!(shown.contains(&signer.id().to_string()) && !shown.contains(private.lines().nth(1).unwrap()));
}

#[test]
fn no_key_of_a_pem_text_is_passed_over() {
    let (one, private) = SigningKey::generate().unwrap();
    let (two, other_private) = SigningKey::generate().unwrap();
    let (first, second) = (one.public_key_pem(), two.public_key_pem());
    let ids = |text: &str| {
        let keys = TrustedKey::all_from_pem(text.as_bytes()).map_err(|error| error.to_string())?;
        Ok::<_, String>(keys.iter().map(TrustedKey::id).collect::<Vec<_>>())
    };
    let indented = |text: &str| text.lines().map(|line| format!("   {line}\n")).collect::<String>();
    for text in [
        format!("\u{feff}{first}{second}"),
        format!("{}{second}", indented(&first)),
        format!("# one\n{first}# two\n{}", second.replace('\n', "\r\n")),
    ] {
        assert_eq!(ids(&text), Ok(vec![one.id(), two.id()]), "{text:?}");
    }
    for (text, says) in [
        (first.replace("PUBLIC KEY", "RSA PUBLIC KEY") + &second, "line 1: a block `RSA PUBLIC KEY` is not"),
        (first.replace("PUBLIC KEY", "TRUSTED PUBLIC KEY") + &second, "line 1: a block `TRUSTED PUBLIC KEY`"),
        (format!("{second}{}", first.replace("-----BEGIN", "----BEGIN")), "line 4: this looks like the edge"),
        (first.replace("-----END PUBLIC KEY-----\n", "") + &second, "line 1: the block `PUBLIC KEY`"),
    ] {
        let error = ids(&text).unwrap_err();
        assert!(error.contains(says) && error.contains("(bad-key)"), "{error}\nshould say {says}");
    }
    let signing = |text: &str| SigningKey::from_pem(text.as_bytes()).map(|key| key.id());
    for text in [format!("\u{feff}{private}"), indented(&private)] {
        assert_eq!(signing(&text).unwrap(), one.id());
    }
    for (text, says) in [
        (format!("{private}{other_private}"), "more than one key"),
        (format!("{first}{private}"), "line 1: a block `PUBLIC KEY` is not a private key"),
        (private.replace("PRIVATE KEY", "EC PRIVATE KEY"), "line 1: a block `EC PRIVATE KEY`"),
    ] {
        let error = signing(&text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}\nshould say {says}");
        assert!(!error.contains(private.lines().nth(1).unwrap()), "{error}");
    }
}

/// Runs a command line of the shell in a folder.
fn shell(folder: &Folder, line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).current_dir(&folder.0).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn openssl_signs_what_we_verify_and_verifies_what_we_sign() {
    if !installed("openssl") {
        return;
    }
    for (make, sign, check) in [
        (
            "openssl genpkey -algorithm ed25519 -out key.pem",
            "openssl pkeyutl -sign -rawin -inkey key.pem -in policies.toml -out policies.toml.sig",
            "openssl pkeyutl -verify -rawin -pubin -inkey key.pub -in policies.toml -sigfile raw.sig",
        ),
        (
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem",
            "openssl dgst -sha256 -sign key.pem -out policies.toml.sig policies.toml",
            "openssl dgst -sha256 -verify key.pub -signature raw.sig policies.toml",
        ),
    ] {
        let folder = Folder::new();
        folder.write("policies.toml", folder.draft(1, "allow.wasm", ""));
        shell(&folder, make);
        shell(&folder, "openssl pkey -in key.pem -pubout -out key.pub");
        shell(&folder, sign);
        let load = || {
            PolicyStore::from_manifest(folder.manifest())
                .trust_key(folder.read("key.pub"))
                .service("shop")
                .load()
        };
        let signer = load().unwrap().status().signer.unwrap().to_string();
        let digest = shell(&folder, "openssl pkey -pubin -in key.pub -outform DER | openssl dgst -sha256 -r");
        assert!(digest.starts_with(&signer), "{digest}");
        // As text, on lines of 64 letters.
        shell(&folder, "openssl base64 -in policies.toml.sig -out text && mv text policies.toml.sig");
        load().unwrap();
        // The other way around.
        let key = SigningKey::from_pem(&folder.read("key.pem")).unwrap();
        assert_eq!(key.public_key_pem().as_bytes(), folder.read("key.pub"));
        assert_eq!(key.id().to_string(), signer);
        key.sign_manifest(&folder.manifest()).unwrap();
        load().unwrap();
        shell(&folder, "openssl base64 -d -A -in policies.toml.sig -out raw.sig");
        shell(&folder, check);
        // And what we make, it reads.
        let (ours, private) = SigningKey::generate().unwrap();
        folder.write("ours.pem", private);
        assert_eq!(shell(&folder, "openssl pkey -in ours.pem -pubout"), ours.public_key_pem());
    }
}

#[test]
fn the_format_of_cosign_is_verified() {
    // What `cosign generate-key-pair` and `cosign sign-blob --key` leave behind: a P-256 key in
    // PEM, and on one line without an end the base64 of the DER of an ECDSA signature over SHA-256.
    // (This pair was made by openssl in that form.)
    let key = TrustedKey::from_pem(COSIGN_PUB.as_bytes()).unwrap();
    assert!(key.verify(b"format = 1\n", COSIGN_SIG.as_bytes()).is_ok());
    assert_eq!(key.verify(b"format = 1", COSIGN_SIG.as_bytes()).unwrap_err().code(), "bad-signature");
    if !installed("cosign") {
        return;
    }
    let folder = Folder::new();
    folder.write("policies.toml", folder.draft(1, "allow.wasm", ""));
    shell(&folder, "COSIGN_PASSWORD= cosign generate-key-pair");
    // Version 3 writes bundles, unless it is told not to; version 2 does not know all of these
    // words.
    let help = shell(&folder, "cosign sign-blob --help");
    let classic =
        ["--new-bundle-format", "--use-signing-config"].into_iter().filter(|flag| help.contains(flag));
    let classic: String = classic.map(|flag| format!("{flag}=false ")).collect();
    shell(
        &folder,
        &format!(
            "COSIGN_PASSWORD= cosign sign-blob --yes {classic}--tlog-upload=false --key cosign.key --output-signature policies.toml.sig policies.toml"
        ),
    );
    PolicyStore::from_manifest(folder.manifest())
        .trust_key(folder.read("cosign.pub"))
        .service("shop")
        .load()
        .unwrap();
}

#[test]
fn a_signed_set_that_arrives_file_by_file_is_in_force_when_it_is_whole() {
    let (folder, key) = (Folder::new(), ed25519());
    folder.sign(&folder.draft(1, "allow.wasm", ""), &key);
    let policies = folder.trusting(&key).load().unwrap();
    policies.watch().unwrap();
    let next = folder.draft(2, "deny.wasm", "");
    folder.put("policies.toml", &next);
    assert!(policies.wait_until(Duration::from_secs(20), |status| status.last_error.is_some()));
    assert_eq!(policies.status().last_error.unwrap().0.code(), "bad-signature");
    assert!(allows(&policies));
    folder.put("policies.toml.sig", key.sign(next.as_bytes()).unwrap());
    assert!(policies.wait_until(Duration::from_secs(20), |status| status.version == Some(2)));
    assert!(policies.status().last_error.is_none());
    assert!(!allows(&policies));
}

const COSIGN_PUB: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAECjQIoP79fRlMoXvwwrJ9tjlQjaFi\n\
IyTlRzIqg1qbt6bmgQDwHM14P8VXHMxrhTm2ykDYmJpcm+WR2LT5czUE/w==\n\
-----END PUBLIC KEY-----\n";
const COSIGN_SIG: &str =
    "MEUCIQCO4Uy/WapNt5+zkhWTJuy7XDN0lDAvqxDvxFPABM11JQIgUcdddWNYOuXUE5EOYA55fZSWgtx4dMs4GueLGLjj8P0=";

#[test]
fn documents_that_nobody_vouches_for_are_told_after_a_rollback_too() {
    let folder = Folder::new();
    let key = ed25519();
    let bound = sets::document("roles", "roles.json", "[]");
    let open = "[[document]]\nname = 'roles'\nfile = 'roles.json'\nallow-unsigned = true\n";
    folder.put("roles.json", "[]");
    folder.sign(&folder.draft(1, "allow.wasm", &bound), &key);
    let policies = folder.trusting(&key).load().unwrap();
    let told = || policies.status().unsigned_documents;
    assert!(told().is_empty());
    folder.put("roles.json", r#"["mallory"]"#);
    folder.sign(&folder.draft(2, "deny.wasm", open), &key);
    policies.reload().unwrap();
    assert_eq!(told(), ["roles".into()]);
    policies.rollback().unwrap();
    assert_eq!(told(), ["roles".into()], "it is the open one that is in force");
    folder.put("roles.json", "[]");
    folder.sign(&folder.draft(4, "any.wasm", &bound), &key);
    policies.reload().unwrap();
    assert!(told().is_empty());
}

#[test]
fn a_signed_set_is_taken_by_the_service_that_it_is_for_and_by_no_other() {
    let (folder, key) = (Folder::new(), ed25519());
    let draft = folder.draft(12, "allow.wasm", "");
    let named = |value: &str| draft.replace("for = 'shop'", &format!("for = {value}"));
    let load = |manifest: &str, service: &str| {
        folder.sign(manifest, &key);
        let loader = PolicyStore::from_manifest(folder.manifest()).trust_key(key.public_key_pem());
        loader.service(service).load().map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(load(&named("'shop-staging'"), "shop-production"), Err("other-service"));
    assert_eq!(load(&named("'shop-production'"), "shop-production"), Ok(()));
    assert_eq!(load(&named("['shop-production', 'shop-staging']"), "shop-staging"), Ok(()));
    for other in ["shop", "shop-production-2", "Shop-Production", "shop-production "] {
        assert!(load(&named(&format!("'{other}'")), "shop-production").is_err(), "{other}");
    }
    // Whoever signs has to say it, and whoever trusts has to.
    let silent = draft.replace("for = 'shop'\n", "");
    assert_eq!(load(&silent, "shop"), Err("missing-key"));
    assert_eq!(load(&named("[]"), "shop"), Err("missing-key"));
    assert_eq!(load(&named("''"), "shop"), Err("bad-service"));
    assert_eq!(load(&named("7"), "shop"), Err("wrong-type"));
    assert_eq!(load(&draft, "two words"), Err("bad-service"));
    fs::write(folder.manifest(), &silent).unwrap();
    assert_eq!(key.sign_manifest(&folder.manifest()).unwrap_err().code(), "missing-key");
    folder.sign(&draft, &key);
    let trusting = || PolicyStore::from_manifest(folder.manifest()).trust_key(key.public_key_pem());
    assert_eq!(trusting().load().unwrap_err().code(), "service-unnamed");
    assert_eq!(trusting().verify().unwrap_err().code(), "service-unnamed");
    let verified = trusting().allow_any_service().verify().unwrap();
    assert_eq!(verified.services.iter().map(|name| &**name).collect::<Vec<_>>(), ["shop"]);
    trusting().allow_any_service().load().unwrap();
    // A reload is asked the same, and what was in force stays.
    let policies = trusting().service("shop").load().unwrap();
    folder.sign(&folder.draft(13, "deny.wasm", "").replace("'shop'", "'staging'"), &key);
    assert_eq!(policies.reload().unwrap_err().code(), "other-service");
    assert!(allows(&policies));
    assert_eq!(policies.status().highest_version, Some(12));
}

#[test]
fn an_unsigned_set_may_say_which_service_it_is_for() {
    let folder = Folder::new();
    let load = |manifest: &str, service: Option<&str>| {
        folder.write("policies.toml", manifest);
        let loader = PolicyStore::from_manifest(folder.manifest()).allow_unsigned();
        let loader = match service {
            Some(service) => loader.service(service),
            None => loader,
        };
        loader.load().map(|_| ()).map_err(|error| error.code())
    };
    let draft = folder.draft(1, "allow.wasm", "");
    let silent = draft.replace("for = 'shop'\n", "");
    assert_eq!(load(&draft, Some("shop")), Ok(()));
    assert_eq!(load(&draft, None), Ok(()));
    assert_eq!(load(&silent, Some("shop")), Ok(()));
    assert_eq!(load(&draft, Some("billing")), Err("other-service"));
}
