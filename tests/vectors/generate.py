#!/usr/bin/env python3
"""Writes the vectors of docs/format.md 5.1 to 5.3, with nothing of claviger's own.

Standard library only, except for ChaCha20Poly1305 (python3-cryptography). Everything is derived from fixed seeds, so that running it
again changes nothing.
"""
import base64, hashlib, hmac, json, pathlib

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

HERE = pathlib.Path(__file__).parent
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def add(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0] and (p[1] + q[1]) % P == 0:
        return None
    slope = (3 * p[0] ** 2 - 3) * pow(2 * p[1], -1, P) if p == q else (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
    x = (slope**2 - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def times(scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def compressed(p):
    return bytes([2 + p[1] % 2]) + p[0].to_bytes(32, "big")


def uncompressed(p):
    return b"\4" + p[0].to_bytes(32, "big") + p[1].to_bytes(32, "big")


def x25519_public(scalar):
    """RFC 7748, section 5, on the base point."""
    p = 2**255 - 19
    k = int.from_bytes(scalar, "little") & ~7 & ~(1 << 255) | 1 << 254
    x1, x2, z2, x3, z3, swap = 9, 1, 0, 9, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % p, x1 * (da - cb) ** 2 % p
        x2, z2 = aa * bb % p, e * (aa + 121665 * e) % p
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, -1, p) % p).to_bytes(32, "little")


def bech32(prefix, data):
    """BIP 173."""
    bits = int.from_bytes(data, "big") << (-len(data) * 8 % 5)
    count = -(-len(data) * 8 // 5)
    values = [bits >> 5 * (count - 1 - i) & 31 for i in range(count)]

    def polymod(words):
        check = 1
        for word in words:
            top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ word
            for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                check ^= generator if top >> i & 1 else 0
        return check

    high = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = polymod(high + values + [0] * 6) ^ 1
    values += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[v] for v in values)


def extract(salt, ikm):
    return hmac.digest(salt or bytes(32), ikm, "sha256")


def expand(prk, info, length):
    okm, block = b"", b""
    while len(okm) < length:
        block = hmac.digest(prk, block + info + bytes([len(okm) // 32 + 1]), "sha256")
        okm += block
    return okm[:length]


def seed(text):
    return hashlib.sha256(b"claviger vector " + text.encode()).digest()


def derivation(name, root, vault, generation):
    prk = extract(vault + generation.to_bytes(8, "big"), root)
    scalar = expand(prk, b"claviger/v1 vault identity", 32)
    succession = int.from_bytes(expand(prk, b"claviger/v1 succession", 48), "big") % N
    write("derivation", name, {
        "root": root.hex(), "vault": vault.hex(), "generation": generation,
        "vault_identity": bech32("age-secret-key-", scalar).upper(),
        "vault_recipient": bech32("age", x25519_public(scalar)),
        "succession_key": compressed(times(succession, G)).hex(),
    })


def sharing(name, k, indices):
    """A polynomial of degree k-1 and its values at `indices`."""
    coefficients = [int.from_bytes(seed(f"coefficient {i} of {name}"), "big") % N for i in range(k)]
    value = lambda x: sum(c * x**i for i, c in enumerate(coefficients)) % N
    points = [compressed(times(c, G)) for c in coefficients]
    write("sharing", name, {
        "k": k, "root": coefficients[0].to_bytes(32, "big").hex(), "commitments": [point.hex() for point in points],
        "digest": hashlib.sha256(b"".join(points)).hexdigest(),
        "shares": {str(i): value(i).to_bytes(32, "big").hex() for i in indices},
    })


def b64(data):
    return base64.b64encode(data).rstrip(b"=").decode()


def hpke_seal(ephemeral, recipient, info, plaintext):
    """RFC 9180: SealBase with DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305."""
    enc = uncompressed(times(ephemeral, G))
    dh = times(ephemeral, recipient)[0].to_bytes(32, "big")
    kem, suite = b"KEM\0\x10", b"HPKE\0\x10\0\1\0\3"

    def labeled_extract(suite, salt, label, ikm):
        return extract(salt, b"HPKE-v1" + suite + label + ikm)

    def labeled_expand(suite, prk, label, info, length):
        return expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)

    prk = labeled_extract(kem, b"", b"eae_prk", dh)
    shared = labeled_expand(kem, prk, b"shared_secret", enc + uncompressed(recipient), 32)
    context = b"\0" + labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
    secret = labeled_extract(suite, shared, b"secret", b"")
    key, nonce = labeled_expand(suite, secret, b"key", context, 32), labeled_expand(suite, secret, b"base_nonce", context, 12)
    return enc, ChaCha20Poly1305(key).encrypt(nonce, plaintext, b"")


def stanza(kind, args, body):
    text = b64(body)
    lines = [text[i:i + 64] for i in range(0, len(text), 64)]
    if len(text) % 64 == 0:
        lines.append("")
    return " ".join(["->", kind, *args]) + "\n" + "\n".join(lines) + "\n"


def age(stanzas, file_key, plaintext, tweak):
    header = "age-encryption.org/v1\n" + "".join(stanzas) + "---"
    mac = hmac.digest(expand(extract(b"", file_key), b"header", 32), header.encode(), "sha256")
    nonce = seed("nonce")[:16]
    key = expand(extract(nonce, file_key), b"payload", 32)
    payload = ChaCha20Poly1305(key).encrypt(bytes(11) + b"\1", plaintext, b"")
    file = header.encode() + b" " + b64(tweak.get("mac", mac)).encode() + b"\n" + nonce + tweak.get("payload", lambda p: p)(payload)
    return file


def envelope(name, expect, **tweak):
    """`expect` is "opens", or the reason for which a reader refuses it."""
    private = int.from_bytes(seed("share key"), "big") % N
    public = times(private, G)
    info = b"age-encryption.org/p256tag"
    file_key = seed("file key")[:16]
    ephemeral = int.from_bytes(seed("ephemeral"), "big") % N
    enc, body = hpke_seal(ephemeral, tweak.get("recipient", public), info, file_key)
    tag = extract(info, enc + hashlib.sha256(compressed(public)).digest()[:4])[:4]
    tag, enc, body = tweak.get("tag", tag), tweak.get("enc", enc), tweak.get("body", lambda b: b)(body)
    record = {
        "vault": seed("vault").hex(), "generation": 7, "index": 2, "k": 2, "n": 3,
        "commitments": seed("commitments").hex(), "share": seed("share").hex(),
    }
    text = "claviger/v1 share\n" + "".join(f"{key} {value}\n" for key, value in record.items())
    text = tweak.get("text", lambda t: t)(text)
    ours = stanza("p256tag", [b64(tag), b64(enc)] + tweak.get("args", []), body)
    stanzas = tweak.get("stanzas", lambda ours: [ours, stanza("x-grease", ["a", "b"], b"")])(ours)
    file = tweak.get("file", lambda f: f)(age(stanzas, file_key, text.encode(), tweak))
    write("envelope", name, {
        "expect": expect, "share_key": private.to_bytes(32, "big").hex(), "recipient": compressed(public).hex(),
        "age_recipient": bech32("age1tag", compressed(public)), **record, "envelope": file.hex(),
    })


def write(folder, name, value):
    (HERE / folder).mkdir(exist_ok=True)
    (HERE / folder / f"{name}.json").write_text(json.dumps(value, indent=1) + "\n")


def main():
    derivation("first", seed("root"), seed("vault"), 1)
    derivation("late", seed("root"), seed("vault"), 2**40 + 5)
    derivation("small-root", (1).to_bytes(32, "big"), seed("vault"), 2)
    derivation("largest-root", (N - 1).to_bytes(32, "big"), seed("other vault"), 2)

    sharing("two-of-three", 2, [1, 3])
    sharing("three-of-five", 3, [5, 2, 4])
    sharing("eight-high", 8, range(248, 256))

    other = times(12345, G)
    envelope("opens", "opens")
    envelope("opens-without-grease", "opens", stanzas=lambda ours: [ours])
    # Refused before a token is asked.
    envelope("two-stanzas", "stanzas", stanzas=lambda ours: [ours, ours])
    envelope("another-stanza", "stanzas", stanzas=lambda ours: [ours, stanza("X25519", [b64(bytes(32))], bytes(32))])
    envelope("only-grease", "stanzas", stanzas=lambda ours: [stanza("x-grease", [], b"")])
    envelope("no-envelope", "header", file=lambda f: b"")
    envelope("not-age", "header", file=lambda f: f.replace(b"age-encryption.org/v1", b"age-encryption.org/v2"))
    envelope("cut-in-the-header", "header", file=lambda f: f[:100])
    envelope("too-large", "size", file=lambda f: f + bytes(4096))
    envelope("another-tag", "other-recipient", tag=b"abcd")
    envelope("short-tag", "stanza", tag=b"abc")
    envelope("more-arguments", "stanza", args=["more"])
    envelope("off-the-curve", "stanza", enc=b"\4" + bytes(63) + b"\1")
    envelope("compressed-point", "stanza", enc=compressed(other))
    envelope("short-body", "stanza", body=lambda b: b[:-1])
    # Refused after the token has answered.
    envelope("sealed-to-another-key", "decapsulation", recipient=other)
    envelope("altered-body", "decapsulation", body=lambda b: bytes([b[0] ^ 1]) + b[1:])
    envelope("altered-mac", "decrypt", mac=bytes(32))
    envelope("altered-payload", "read", payload=lambda p: p[:-1] + bytes([p[-1] ^ 1]))
    envelope("cut-short", "read", file=lambda f: f[:-20])
    envelope("something-after", "read", file=lambda f: f + b"\0")
    envelope("other-vault", "record vault", text=lambda t: t.replace(seed("vault").hex(), seed("x").hex()))
    envelope("other-generation", "record generation", text=lambda t: t.replace("generation 7", "generation 8"))
    envelope("other-index", "record index", text=lambda t: t.replace("index 2", "index 02"))
    envelope("other-k", "record k", text=lambda t: t.replace("\nk 2", "\nk 3"))
    envelope("other-n", "record n", text=lambda t: t.replace("\nn 3", "\nn 5"))
    envelope("other-commitments", "record commitments", text=lambda t: t.replace(seed("commitments").hex(), seed("x").hex()))
    envelope("other-format", "record format", text=lambda t: t.replace("v1", "v2"))
    envelope("carriage-returns", "record format", text=lambda t: t.replace("\n", "\r\n"))
    envelope("no-share", "record share", text=lambda t: t[:t.index("share " + seed("share").hex())])
    envelope("short-share", "share", text=lambda t: t[:-2] + "\n")
    envelope("upper-case-share", "share", text=lambda t: t.replace(seed("share").hex(), seed("share").hex().upper()))
    envelope("no-last-line-feed", "share", text=lambda t: t[:-1])
    envelope("another-line", "share", text=lambda t: t + "more\n")
    envelope("too-much-text", "share", text=lambda t: t + "x" * 1024)


main()
