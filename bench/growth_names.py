"""Names of tenants, made of words: some words are shared by thousands of tenants, three together by a few.

Of 200,000 tenants a first word finds about 3,500, a second one about 3,200, both together about 55, with the kind
of company 4 or 5, and a slug one.
"""

from __future__ import annotations

WORDS = """
Amber Arctic Autumn Azure Blue Bright Bronze Calm Cedar Clear Cobalt Copper Coral Crimson Crystal Dawn Deep Eastern
Ember Emerald Evening Fair Fern Frost Golden Granite Green Grey Hazel Honest Indigo Iron Ivory Jade Keen Lunar Maple
Marble Morning Noble Northern Oaken Olive Opal Pearl Quiet Rapid Royal Ruby Silver Solar Southern Steady Summer Swift
Velvet Western
/
Anchor Arrow Badger Bay Beacon Birch Bridge Brook Canyon Castle Cliff Cloud Comet Creek Crown Delta Dune Eagle Falcon
Field Fjord Forest Fox Garden Gate Glacier Grove Harbour Hawk Heron Hill Island Lake Lantern Lark Lighthouse Lynx
Meadow Mill Mountain Oak Orchard Otter Owl Peak Pine Prairie Quarry Raven Reef Ridge River Sail Shore Spring Star
Stone Summit Tower Valley Wave Willow Wolf
/
Analytics Foods Health Labs Legal Logistics Media Motors Robotics Systems Textiles Works
"""
FIRST, SECOND, KIND = (part.split() for part in WORDS.split("/"))


def tenant_name(number: int) -> str:
    """Three words, counted through like the digits of a clock."""
    rest, first = divmod(number, len(FIRST))
    rest, second = divmod(rest, len(SECOND))
    return f"{FIRST[first]} {SECOND[second]} {KIND[rest % len(KIND)]}"
