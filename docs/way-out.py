#!/usr/bin/python3
"""Opens a claviger vault without claviger. See way-out.md beside this file, and format.md for every byte.

Needs Python 3.9, python3-cryptography, age; for cards also OpenSC (pkcs11-tool). Nothing of claviger's own.
"""
import argparse
import base64
import getpass
import hashlib
import hmac
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Stop(Exception):
    """Something that a person has to know before anything else happens."""


# P-256 (FIPS 186-5, SP 800-186). Plain integers: not constant-time, so run this on a machine that is yours alone.

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def point_add(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0] and (p[1] + q[1]) % P == 0:
        return None
    if p == q:
        slope = (3 * p[0] ** 2 - 3) * pow(2 * p[1], -1, P)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
    x = (slope**2 - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def point_times(scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point, scalar = point_add(point, point), scalar >> 1
    return result


def point_from(data):
    """SEC 1, 2.3.4: compressed or uncompressed, on the curve."""
    if len(data) == 33 and data[0] in (2, 3):
        x = int.from_bytes(data[1:], "big")
        y = pow(x**3 - 3 * x + B, (P + 1) // 4, P)
        y = y if y % 2 == data[0] % 2 else P - y
    elif len(data) == 65 and data[0] == 4:
        x, y = int.from_bytes(data[1:33], "big"), int.from_bytes(data[33:], "big")
    else:
        raise Stop("a public key is malformed")
    if not (x < P and 0 < y < P) or (y * y - (x**3 - 3 * x + B)) % P:
        raise Stop("a public key is not on the curve")
    return x, y


def compressed(point):
    return bytes([2 + point[1] % 2]) + point[0].to_bytes(32, "big")


def uncompressed(point):
    return b"\4" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


# HKDF-SHA256 (RFC 5869), Bech32 (BIP 173)


def extract(salt, ikm):
    return hmac.digest(salt or bytes(32), ikm, "sha256")


def expand(prk, info, length):
    okm, block = b"", b""
    while len(okm) < length:
        block = hmac.digest(prk, block + info + bytes([len(okm) // 32 + 1]), "sha256")
        okm += block
    return okm[:length]


def bech32(prefix, data):
    count = -(-len(data) * 8 // 5)
    number = int.from_bytes(data, "big") << (5 * count - 8 * len(data))
    values = [number >> 5 * (count - 1 - i) & 31 for i in range(count)]
    check = 1
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + values + [0] * 6:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> i & 1 else 0
    values += [(check ^ 1) >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[value] for value in values)


# Share envelopes: age v1 with one p256tag stanza (format.md 5.3, C2SP age, RFC 9180)

INFO = b"age-encryption.org/p256tag"


def unbase64(text):
    data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    if base64.b64encode(data).rstrip(b"=").decode() != text:
        raise ValueError("not canonical")
    return data


def parse_age(data):
    """Stanzas as (type, arguments, body), the header up to its MAC, the MAC, and what follows."""
    end = data.index(b"\n---")
    lines = data[:end].decode("ascii").split("\n")
    mac_line, rest = data[end + 1 :].split(b"\n", 1)
    if lines.pop(0) != "age-encryption.org/v1" or mac_line[:4] != b"--- ":
        raise ValueError("not an age v1 header")
    stanzas = []
    while lines:
        arrow, kind, *arguments = lines.pop(0).split(" ")
        body = ""
        while True:
            line = lines.pop(0)
            body += line
            if len(line) < 64:
                break
        if arrow != "->" or len(line) > 64:
            raise ValueError("not a stanza")
        stanzas.append((kind, arguments, unbase64(body)))
    return stanzas, data[: end + 4], unbase64(mac_line[4:].decode("ascii")), rest


class Envelope:
    """A share envelope. What needs no secret is checked at once."""

    def __init__(self, data, recipient):
        if len(data) > 4096:
            raise Stop("the share envelope is larger than any is")
        try:
            stanzas, self.header, self.mac, self.rest = parse_age(data)
            stanzas = [stanza for stanza in stanzas if not stanza[0].endswith("-grease")]
            ((kind, (tag, enc), self.body),) = stanzas
            tag, self.enc = unbase64(tag), unbase64(enc)
        except (ValueError, IndexError) as error:
            raise Stop("the share envelope is not an age file with one p256tag stanza") from error
        if kind != "p256tag" or len(self.enc) != 65 or len(self.body) != 32:
            raise Stop("the share envelope is not an age file with one p256tag stanza")
        self.point, self.recipient = point_from(self.enc), recipient
        if tag != extract(INFO, self.enc + hashlib.sha256(compressed(recipient)).digest()[:4])[:4]:
            raise Stop("the share envelope is sealed to another share key")

    def open(self, shared, expected):
        """`shared`: the 32-byte x-coordinate of the token's ECDH with `self.point`."""
        file_key = self.file_key(shared)
        mac = hmac.digest(expand(extract(b"", file_key), b"header", 32), self.header, "sha256")
        if not hmac.compare_digest(mac, self.mac):
            raise Stop("the header of the share envelope was altered")
        key = expand(extract(self.rest[:16], file_key), b"payload", 32)
        try:
            # One chunk, the last: counter 0 (11 bytes), flag 1. An envelope is far below 64 KiB.
            plaintext = ChaCha20Poly1305(key).decrypt(bytes(11) + b"\1", self.rest[16:], b"")
        except InvalidTag as error:
            raise Stop("the share envelope was altered or cut short") from error
        text = "claviger/v1 share\n" + "".join(f"{name} {value}\n" for name, value in expected) + "share "
        start, digits = plaintext[: len(text)], plaintext[len(text) :]
        if start != text.encode():
            raise Stop("the share envelope is not the one that the manifest names")
        if len(digits) != 65 or digits[64:] != b"\n" or set(digits[:64]) - set(b"0123456789abcdef"):
            raise Stop("the share envelope holds no share")
        return int(digits[:64], 16)

    def file_key(self, shared):
        """RFC 9180: Decap (4.1) from the Diffie-Hellman value on, KeySchedule (5.1), Open (5.2)."""
        kem, suite = b"KEM\0\x10", b"HPKE\0\x10\0\1\0\3"

        def labeled_extract(suite_id, salt, label, ikm):
            return extract(salt, b"HPKE-v1" + suite_id + label + ikm)

        def labeled_expand(suite_id, prk, label, info, length):
            return expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info, length)

        eae_prk = labeled_extract(kem, b"", b"eae_prk", shared)
        secret = labeled_expand(kem, eae_prk, b"shared_secret", self.enc + uncompressed(self.recipient), 32)
        psk_id_hash = labeled_extract(suite, b"", b"psk_id_hash", b"")
        context = b"\0" + psk_id_hash + labeled_extract(suite, b"", b"info_hash", INFO)
        secret = labeled_extract(suite, secret, b"secret", b"")
        key = labeled_expand(suite, secret, b"key", context, 32)
        nonce = labeled_expand(suite, secret, b"base_nonce", context, 12)
        try:
            return ChaCha20Poly1305(key).decrypt(nonce, self.body, b"")
        except InvalidTag as error:
            raise Stop("the answer of the token does not open the envelope") from error


# Shares and what follows from the root (format.md 5.1, 5.2)


def share_fits(share, index, commitments):
    expected = None
    for power, commitment in enumerate(commitments):
        expected = point_add(expected, point_times(index**power % N, commitment))
    return 0 < share < N and point_times(share, G) == expected


def combine(shares, commitments):
    """`shares`: {index: share}, each of which fits."""
    root = 0
    for i, share in shares.items():
        weight = 1
        for j in shares:
            if j != i:
                weight = weight * j * pow(j - i, -1, N) % N
        root = (root + share * weight) % N
    if point_times(root, G) != commitments[0]:
        raise Stop("the shares do not give the root of this generation")
    return root.to_bytes(32, "big")


def derive(root, vault, generation, info, length):
    return expand(extract(vault + generation.to_bytes(8, "big"), root), info, length)


def vault_identity(root, vault, generation):
    """An age identity and its recipient."""
    scalar = derive(root, vault, generation, b"claviger/v1 vault identity", 32)
    public = X25519PrivateKey.from_private_bytes(scalar).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return bech32("age-secret-key-", scalar).upper(), bech32("age", public)


def succession_key(root, vault, generation):
    number = int.from_bytes(derive(root, vault, generation, b"claviger/v1 succession", 48), "big") % N
    return compressed(point_times(number, G))


# The vault on disk (format.md 2 to 4)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def signed_by(key, message, signature):
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(key))
    try:
        public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        return True
    except InvalidSignature:
        return False


def read(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise Stop(f"{path} cannot be read ({error.strerror})") from error


def stem(person):
    return f"{person['index']:02}-{person['name']}"


class Generation:
    def __init__(self, directory):
        self.directory = directory
        data = read(directory / "manifest.json")
        self.digest, self.manifest, self.data = sha256(data), json.loads(data), data
        self.plan = self.manifest["plan"]
        self.number = self.plan["generation"]

    def approved(self, roster):
        """Indices of the custodians whose approvals of this plan are there and good."""
        listed = {entry["index"]: entry["digest"] for entry in self.manifest["approvals"]}
        good = set()
        for person in roster:
            path = self.directory / "approvals" / f"{stem(person)}.json"
            try:
                data, signature = path.read_bytes(), path.with_suffix(".sig").read_bytes()
            except OSError:
                continue
            same = sha256(data) == listed.get(person["index"]) and json.loads(data)["plan"] == self.plan
            if same and signed_by(person["signing_key"], data, signature):
                good.add(person["index"])
        return good

    def committed(self, vault, founding, parent):
        """Why this generation is not a committed child of `parent`, or None."""
        roster = (parent.plan if parent else founding)["roster"]
        needed = parent.plan["k"] if parent else len(roster)
        if self.plan["vault"] != vault or self.plan["parent"] != (parent.digest if parent else None):
            return "it is of another vault or another generation"
        if self.number != (parent.number + 1 if parent else 1):
            return "its number does not follow"
        if self.plan["roster"] != roster or self.plan["k"] != (parent.plan if parent else founding)["k"]:
            return "its roster or threshold is another"
        if len(self.approved(roster)) < needed:
            return f"fewer than {needed} approvals of it are good"
        try:
            signature = (self.directory / "COMMIT").read_bytes()
        except OSError:
            return "it has no COMMIT"
        key = (parent or self).manifest["succession_key"]
        return None if signed_by(key, self.data, signature) else "its COMMIT is not by the generation before"


def line_of(root, chosen):
    """The vault id and its committed generations, first to last. `chosen`: somebody has decided about a fork."""
    founding = read(root / "vault.json")
    vault, founding = sha256(founding), json.loads(founding)
    found = []
    for directory in sorted((root / "generations").iterdir()):
        try:
            found.append(Generation(directory))
        except (Stop, ValueError, KeyError, TypeError) as error:
            print(f"  left out: {directory.name}: {error}")
    line = []
    while True:
        parent = line[-1] if line else None
        children = []
        for generation in found:
            if generation.plan["parent"] == (parent.digest if parent else None):
                reason = generation.committed(vault, founding, parent)
                if reason is None:
                    children.append(generation)
                else:
                    print(f"  left out: {generation.directory.name}: {reason}")
        if len({child.digest for child in children}) > 1:
            names = ", ".join(child.directory.name for child in children)
            if not chosen:
                raise Stop(f"two generations follow the same one ({names}): find out why, then name one with --generation")
            print(f"WARNING: two generations follow the same one: {names}")
            children = [child for child in children if child.directory.name == chosen] or children
        if not children:
            return vault, line
        line.append(children[0])


# Tokens


class SoftToken:
    """A software token's file: private keys in clear, by slot."""

    def __init__(self, path):
        self.path = path
        content = json.loads(read(pathlib.Path(path)))
        if content.get("format") != "claviger/v1 software token":
            raise Stop(f"{path} is not a software token")
        self.keys = {}
        for key in content["keys"].values():
            scalar = int(key["scalar"], 16)
            self.keys[compressed(point_times(scalar, G))] = scalar

    def ecdh(self, share_key, point):
        scalar = self.keys.get(share_key)
        return None if scalar is None else point_times(scalar, point)[0].to_bytes(32, "big")


# SubjectPublicKeyInfo of a P-256 key up to the point (RFC 5480)
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


PIN_VARIABLE = "WAY_OUT_PIN"


class Card:
    """Whatever card is in the reader, through OpenSC."""

    def __init__(self, module, slot, pin_env):
        self.tool = ["pkcs11-tool"] + (["--module", module] if module else []) + (["--slot", slot] if slot else [])
        self.pin_env = pin_env

    def key_id(self, share_key):
        """The PKCS#11 id of the key pair whose public key is `share_key`."""
        point = uncompressed(point_from(share_key)).hex()
        for kind in ("pubkey", "cert"):
            command = self.tool + ["--list-objects", "--type", kind]
            listing = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
            ids, current, hit = [], "", False
            for text in listing.stdout.splitlines():
                word = text.strip()
                if word.startswith("ID:"):
                    current = word.split(":", 1)[1].strip()
                    ids.append(current)
                    if hit:
                        return current
                elif not text.startswith(" "):
                    hit = False
                if point in word.replace(":", "").lower():
                    hit = True
            if kind == "cert":
                for identifier in ids:
                    if self.certified(identifier) == share_key:
                        return identifier
        return None

    def certified(self, identifier):
        """The P-256 key in a certificate, found by the fixed form of its SubjectPublicKeyInfo."""
        with tempfile.NamedTemporaryFile() as file:
            command = self.tool + ["--read-object", "--type", "cert", "--id", identifier, "--output-file", file.name]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            _, found, rest = file.read().partition(SPKI)
        return compressed(point_from(rest[:65])) if found else None

    def ecdh(self, share_key, point):
        identifier = self.key_id(share_key)
        if identifier is None:
            return None
        with tempfile.TemporaryDirectory(dir="/dev/shm") as private:
            peer, secret = pathlib.Path(private) / "peer.der", pathlib.Path(private) / "secret"
            peer.write_bytes(SPKI + uncompressed(point))
            command = ["--login", "--pin", f"env:{PIN_VARIABLE}", "--derive", "--mechanism", "ECDH1-DERIVE", "--id", identifier]
            command += ["--input-file", str(peer), "--output-file", str(secret)]
            # Asked here, and given to pkcs11-tool in its own environment: never on a command line.
            pin = os.environ[self.pin_env] if self.pin_env else getpass.getpass("  PIN of this token (not shown): ")
            print("  touch the token if it blinks", flush=True)
            environment = {**os.environ, PIN_VARIABLE: pin}
            if subprocess.run(self.tool + command, check=False, env=environment).returncode != 0:
                return None
            shared = secret.read_bytes()
        if len(shared) != 32:
            raise Stop(f"the token answered {len(shared)} bytes, and 32 were expected")
        return shared


def collect(vault, generation, ask):
    """Asks for shares until there are k. `ask(person, share key, point)` gives a token's answer or None."""
    manifest, plan = generation.manifest, generation.plan
    commitments = [point_from(bytes.fromhex(key)) for key in manifest["commitments"]]
    digest = sha256(b"".join(compressed(point) for point in commitments))
    keys = {entry["index"]: bytes.fromhex(entry["public"]) for entry in manifest["share_keys"]}
    envelopes = {entry["index"]: entry["digest"] for entry in manifest["envelopes"]}
    if len(commitments) != plan["k"]:
        raise Stop("the manifest does not have k commitments")
    shares = {}
    for person in plan["roster"]:
        if len(shares) == plan["k"]:
            break
        index, name = person["index"], person["name"]
        try:
            data = read(generation.directory / "shares" / f"{stem(person)}.age")
            if sha256(data) != envelopes[index]:
                raise Stop("the share envelope is not the one that the manifest names")
            envelope = Envelope(data, point_from(keys[index]))
            shared = ask(person, keys[index], envelope.point)
            if shared is None:
                print(f"  {name}: no token with this share key")
                continue
            expected = [("vault", vault), ("generation", generation.number), ("index", index), ("k", plan["k"])]
            expected += [("n", len(plan["roster"])), ("commitments", digest)]
            share = envelope.open(shared, expected)
            if not share_fits(share, index, commitments):
                raise Stop("the share does not match the commitments")
        except Stop as problem:
            print(f"  {name}: {problem}")
            continue
        shares[index] = share
        print(f"  {name}: share opened and checked ({len(shares)} of {plan['k']})")
    if len(shares) < plan["k"]:
        raise Stop(f"{len(shares)} shares where {plan['k']} are needed: bring more custodians, or another copy of the vault")
    return combine(shares, commitments)


def decrypt(identity, path, first_line, output):
    """`age -d` with the identity through a pipe; the first line is checked and the rest written to a new file."""
    ends = os.pipe()
    os.write(ends[1], identity.encode() + b"\n")
    os.close(ends[1])
    command = ["age", "--decrypt", "--identity", f"/dev/fd/{ends[0]}", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[ends[0]]) as age:
        os.close(ends[0])
        good = age.stdout.read(len(first_line)) == first_line
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            while good and (chunk := age.stdout.read(1 << 16)):
                file.write(chunk)
        age.stdout.close()
        failed = age.wait() != 0
    if failed or not good:
        os.unlink(output)
        raise Stop("age could not open it" if failed else "it is not the item that the manifest names")


def open_items(vault, generation, identity, out):
    """Every item to a new file. Returns how many could not be opened."""
    failed = 0
    wanted = [(item, f"items/{item['name']}.age", item["name"] + (".json" if item["kind"] == "password" else ""))
              for item in generation.manifest["items"]]
    inbox = {"name": "inbox", "kind": "inbox-identity", "digest": generation.manifest["inbox_identity"]}
    wanted.append((inbox, "inbox-identity.age", "inbox-identity.txt"))
    for item, source, name in wanted:
        path = generation.directory / source
        record = {"format": "claviger/v1 item", "kind": item["kind"], "name": item["name"], "vault": vault}
        line = json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        try:
            if sha256(read(path)) != item["digest"]:
                raise Stop("its bytes are not those that the manifest names")
            decrypt(identity, path, line, out / name)
            print(f"  {item['name']} ({item['kind']}): {out / name}")
        except Stop as problem:
            failed += 1
            print(f"  {item['name']} ({item['kind']}): {problem}")
    return failed


def arguments():
    parser = argparse.ArgumentParser(description="Opens a claviger vault without claviger, with k tokens.")
    parser.add_argument("vault", type=pathlib.Path, help="the vault's directory, any copy of it")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="a new directory for what is opened, not on a disk that you keep")
    parser.add_argument("--expect", help="the vault id, 64 hex digits, from paper or from a custodian")
    parser.add_argument("--generation", help="name of a directory under generations/, instead of the last committed one")
    tokens = parser.add_mutually_exclusive_group(required=True)
    tokens.add_argument("--soft", nargs="+", metavar="FILE", help="files of software tokens (a drill)")
    tokens.add_argument("--pkcs11", action="store_true", help="cards, through OpenSC's pkcs11-tool")
    parser.add_argument("--module", help="another PKCS#11 module than OpenSC's")
    parser.add_argument("--slot", help="the PKCS#11 slot of the reader, if there are several")
    parser.add_argument("--pin-env", help="environment variable with the PIN, for tests: without it the script asks")
    return parser.parse_args()


def token_asker(args):
    if args.soft:
        tokens = [SoftToken(path) for path in args.soft]
        answers = lambda key, point: (token.ecdh(key, point) for token in tokens)
        return lambda person, key, point: next((answer for answer in answers(key, point) if answer), None)
    card = Card(args.module, args.slot, args.pin_env)

    def ask(person, key, point):
        while True:
            print(f"\nInsert the token of {person['name']}. Enter: it is there. s and Enter: skip {person['name']}.")
            answer = sys.stdin.readline()
            if not answer or answer.strip() == "s":
                return None
            shared = card.ecdh(key, point)
            if shared is not None:
                return shared
            print(f"  that token did not answer for the share key of {person['name']}; a wrong PIN costs a try")

    return ask


def main():
    args = arguments()
    os.umask(0o077)
    if args.out.exists():
        raise Stop(f"{args.out} exists already: name a new directory with --out")
    vault, line = line_of(args.vault, args.generation)
    print(f"vault id    {vault}")
    if args.expect and args.expect != vault:
        raise Stop("this is not the vault that was expected")
    if args.generation:
        generation = Generation(args.vault / "generations" / args.generation)
        if generation.digest not in [known.digest for known in line]:
            print("WARNING: this generation is not in the line of committed generations")
    elif line:
        generation = line[-1]
    else:
        raise Stop("no generation of this vault is committed")
    print(f"generation  {generation.number} ({generation.directory.name}), {generation.plan['k']} of {len(generation.plan['roster'])}")
    root = collect(vault, generation, token_asker(args))
    identity, recipient = vault_identity(root, bytes.fromhex(vault), generation.number)
    if recipient != generation.manifest["vault_recipient"]:
        raise Stop("the vault identity is not the one that the manifest names")
    if succession_key(root, bytes.fromhex(vault), generation.number).hex() != generation.manifest["succession_key"]:
        raise Stop("the succession key is not the one that the manifest names")
    args.out.mkdir()
    print("opened:")
    failed = open_items(vault, generation, identity, args.out)
    print("Every credential that was opened is exposed now: replace it on its target, and found a new vault.")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stop as problem:
        sys.exit(f"way-out: {problem}")
    except FileNotFoundError as problem:
        sys.exit(f"way-out: {problem.filename} is not there (age? pkcs11-tool? python3-cryptography?)")
    except KeyboardInterrupt:
        sys.exit("\nway-out: stopped")
