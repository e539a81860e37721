"""A hardware fingerprint as it is compared: in capitals, or with a line end, it is the same hardware's."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError

from app import typed_text
from app.access.keys import fingerprint_hash
from app.context import Context
from app.database.failures import violated_constraint
from sql.statements import licensing

# Forms in which a number is written in hexadecimal digits, wherever they stand between other characters than letters
# and digits. Other texts may mean another machine in another case, and stay as they are.
_HEXADECIMAL = re.compile(
    r"""
    (?<![^\W_])
    (?: [0-9a-f]{8} (?: -[0-9a-f]{4} ){3} -[0-9a-f]{12}
      | [0-9a-f]{2} (?P<between>[:-]) [0-9a-f]{2} (?: (?P=between)[0-9a-f]{2} ){4,}
      | [0-9a-f]{4} \. [0-9a-f]{4} \. [0-9a-f]{4}
      | (?:0x)? (?: [0-9a-f]{12} | [0-9a-f]{16} | [0-9a-f]{32} | [0-9a-f]{40} | [0-9a-f]{56} | [0-9a-f]{64}
          | [0-9a-f]{96} | [0-9a-f]{128} )
    )
    (?![^\W_])
    """,
    re.VERBOSE | re.IGNORECASE,
)


class Fingerprint(NamedTuple):
    """The SHA-256 under which hardware is stored, and that of the text as it was sent.

    Devices that were stored as they were sent, before fingerprints were normalised, are found by the second.
    """

    hash: str
    raw_hash: str

    @property
    def is_normal(self) -> bool:
        """Whether it was sent as it is compared."""
        return self.hash == self.raw_hash


def read_fingerprint(text: str) -> Fingerprint:
    """The hashes of a fingerprint that a device sends."""
    raw_hash = fingerprint_hash(text)
    normal = normalized(text)
    return Fingerprint(raw_hash if normal == text else fingerprint_hash(normal), raw_hash)


def normalized(text: str) -> str:
    """The fingerprint as it is compared.

    Letters that are composed of several characters are in Unicode's form NFC, blanks and line ends around the text are
    gone, and hexadecimal forms are in small letters. Of a text of nothing but blanks nothing is taken: all such
    hardware would become one.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = typed_text.stripped(text) or text
    # Most have no capital letter, and looking for forms costs as much as the hash.
    return text if text.islower() else _HEXADECIMAL.sub(lambda form: form[0].lower(), text)


async def store_as_normal(ctx: Context, tenant_id: int, device_id: int, fingerprint: Fingerprint) -> bool:
    """Store the device under the normalised hash, if it is stored under the other one; False if it stays as it is.

    It stays where another device has that hash already: then both stay.
    """
    try:
        async with ctx.write_autocommit() as conn:
            return bool(
                await conn.affected(
                    licensing.normalize_fingerprint,
                    of_tenant_id=tenant_id,
                    device_id=device_id,
                    raw_fingerprint=fingerprint.raw_hash,
                    fingerprint=fingerprint.hash,
                )
            )
    except IntegrityError as failure:
        # Another device has got it at this moment.
        if violated_constraint(failure) != "uq_devices_hw_fingerprint":
            raise
        return False
