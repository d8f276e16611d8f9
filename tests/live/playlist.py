"""Reads HLS playlists and MPDs, and holds one playlist to RFC 8216bis."""

import datetime
import re
import xml.etree.ElementTree as etree

from place import expect, same


class Segment:
    def __init__(self):
        self.uri = self.duration = self.map = self.date = None
        self.parts, self.discontinuity, self.gap, self.number = [], False, False, None

    @property
    def facts(self):
        return (self.uri, self.duration, self.map, self.discontinuity, self.date)


def attributes(text):
    return {key: value.strip('"') for key, value in re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)', text)}


class Media:
    def __init__(self, text):
        self.text = text
        lines = [line for line in text.splitlines() if line.strip()]
        same(lines[0] if lines else "", "#EXTM3U", "the first line")
        self.target = self.version = self.part_target = self.hint = None
        self.sequence = self.discontinuities = self.skipped = 0
        self.control, self.segments, self.reports, self.ended = {}, [], {}, False
        current, place, here = Segment(), None, None
        for line in lines[1:]:
            tag, _, value = line.partition(":")
            if not line.startswith("#"):
                current.uri, current.map = line, here
                self.segments.append(current)
                current = Segment()
            elif tag == "#EXT-X-TARGETDURATION":
                self.target = int(value)
            elif tag == "#EXT-X-VERSION":
                self.version = int(value)
            elif tag == "#EXT-X-MEDIA-SEQUENCE":
                self.sequence = int(value)
            elif tag == "#EXT-X-DISCONTINUITY-SEQUENCE":
                self.discontinuities = int(value)
            elif tag == "#EXT-X-SERVER-CONTROL":
                self.control = attributes(value)
            elif tag == "#EXT-X-PART-INF":
                self.part_target = float(attributes(value)["PART-TARGET"])
            elif tag == "#EXT-X-MAP":
                here = attributes(value)["URI"]
            elif tag == "#EXT-X-PROGRAM-DATE-TIME":
                current.date = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
            elif tag == "#EXT-X-DISCONTINUITY":
                current.discontinuity = True
            elif tag == "#EXT-X-GAP":
                current.gap = True
            elif tag == "#EXT-X-PART":
                found = attributes(value)
                current.parts.append((found["URI"], float(found["DURATION"]), found.get("INDEPENDENT") == "YES"))
            elif tag == "#EXTINF":
                current.duration = float(value.split(",")[0])
            elif tag == "#EXT-X-PRELOAD-HINT":
                self.hint = attributes(value)
            elif tag == "#EXT-X-RENDITION-REPORT":
                found = attributes(value)
                self.reports[found["URI"]] = found
            elif tag == "#EXT-X-ENDLIST":
                self.ended = True
            elif tag == "#EXT-X-SKIP":
                self.skipped = int(attributes(value)["SKIPPED-SEGMENTS"])
            elif tag not in ("#EXT-X-INDEPENDENT-SEGMENTS", "#EXT-X-PLAYLIST-TYPE", "#EXT-X-START", "#EXT-X-BITRATE"):
                raise AssertionError(f"a tag that is not known here: {line}")
        self.open = current
        for number, segment in enumerate(self.segments):
            segment.number = self.sequence + self.skipped + number

    @property
    def newest(self):
        """(media sequence number, part) of the newest part; -1 where the open segment has none."""
        number = self.sequence + self.skipped + len(self.segments)
        if self.open.parts:
            return number, len(self.open.parts) - 1
        return number - 1, len(self.segments[-1].parts) - 1 if self.segments else -1

    def check(self):
        """What holds of one playlist by itself."""
        expect(self.target is not None, "no EXT-X-TARGETDURATION")
        for segment in self.segments:
            expect(segment.duration is not None, f"{segment.uri} has no EXTINF")
            expect(int(segment.duration + 0.5) <= self.target, f"a segment of {segment.duration} s with a target duration of {self.target} (4.4.3.1)")
            if segment.parts:
                expect(abs(sum(part[1] for part in segment.parts) - segment.duration) < 0.02, f"parts of {sum(part[1] for part in segment.parts):.3f} s in a segment of {segment.duration} s")
        for segment in [*self.segments, self.open]:
            for number, (uri, duration, _) in enumerate(segment.parts):
                expect(duration <= self.part_target + 1e-6, f"a part of {duration} s, PART-TARGET is {self.part_target} (4.4.3.7)")
                last = number == len(segment.parts) - 1
                expect(last or duration >= 0.85 * self.part_target - 1e-6, f"part {uri} of {duration} s is under 85 % of PART-TARGET {self.part_target} (4.4.4.9)")
        if self.part_target:
            expect(self.version >= 6, f"version {self.version}")
            expect(float(self.control["PART-HOLD-BACK"]) >= 2 * self.part_target, "PART-HOLD-BACK is under twice PART-TARGET (4.4.3.8)")
            same(self.control.get("CAN-BLOCK-RELOAD"), "YES", "CAN-BLOCK-RELOAD")
        if "HOLD-BACK" in self.control:
            expect(float(self.control["HOLD-BACK"]) >= 3 * self.target, "HOLD-BACK is under three target durations (4.4.3.8)")
        if "CAN-SKIP-UNTIL" in self.control:
            expect(float(self.control["CAN-SKIP-UNTIL"]) >= 6 * self.target, "CAN-SKIP-UNTIL is under six target durations (4.4.3.8)")
        if self.skipped:
            expect(self.version >= 9, "EXT-X-SKIP needs version 9 (8)")
        for before, later in zip(self.segments, self.segments[1:]):
            if before.date and later.date and not later.discontinuity:
                apart = (later.date - before.date).total_seconds()
                expect(abs(apart - before.duration) < 0.25, f"EXT-X-PROGRAM-DATE-TIME goes on by {apart} s over a segment of {before.duration} s")
        return self

    def follows(self, before):
        """What holds of a playlist and an earlier one (6.2.2)."""
        same(self.target, before.target, "EXT-X-TARGETDURATION, which must not change (4.4.3.1)")
        expect(self.sequence >= before.sequence, f"EXT-X-MEDIA-SEQUENCE went back from {before.sequence} to {self.sequence}")
        expect(self.newest >= before.newest, f"the newest part went back from {before.newest} to {self.newest}")
        known = {segment.number: segment for segment in before.segments}
        for segment in self.segments:
            if segment.number in known:
                same(segment.facts, known[segment.number].facts, f"segment {segment.number}, which must not change (6.2.1)")
            elif segment.number == before.sequence + before.skipped + len(before.segments) and segment.parts:
                same(segment.parts[:len(before.open.parts)], before.open.parts, "parts of the open segment, which must not change")
        gone = [segment for segment in before.segments if segment.number < self.sequence]
        if self.segments and before.segments and self.sequence <= before.segments[-1].number + 1:
            extra = sum(segment.discontinuity for segment in gone)
            first = next((segment for segment in self.segments if segment.number == self.sequence), None)
            expect(self.discontinuities in (before.discontinuities + extra, before.discontinuities + extra + (1 if first and first.discontinuity else 0)),
                   f"EXT-X-DISCONTINUITY-SEQUENCE is {self.discontinuities}, was {before.discontinuities} and {extra} went (6.2.2)")
        if before.hint and before.hint.get("TYPE") == "PART" and self.newest > before.newest and not self.open.discontinuity and not (self.segments and self.segments[-1].discontinuity):
            names = [part[0] for segment in [*self.segments, self.open] for part in segment.parts]
            if names:
                expect(before.hint["URI"] in names, f"the hinted part {before.hint['URI']} never came: {names[-4:]}")
        return self


def mpd(text):
    """Periods of an MPD: [(id, start, {representation: (init, [(url, time, duration)], scale)})]."""
    space = "{urn:mpeg:dash:schema:mpd:2011}"
    root = etree.fromstring(text)
    periods = []
    for period in root.iter(f"{space}Period"):
        found = {}
        for part in period.iter(f"{space}Representation"):
            template = part.find(f"{space}SegmentTemplate")
            number, at, segments = int(template.get("startNumber")), None, []
            for line in template.iter(f"{space}S"):
                begin = line.get("t")
                if begin is not None and at is not None:
                    expect(int(begin) >= at - 2, f"the timeline goes back: {begin} behind {at}")
                at = int(begin) if begin is not None else at
                for _ in range(int(line.get("r", 0)) + 1):
                    segments.append((template.get("media").replace("$Number$", str(number)).replace("$Time$", str(at)), at, int(line.get("d"))))
                    at, number = at + int(line.get("d")), number + 1
            found[part.get("id")] = (template.get("initialization"), segments, int(template.get("timescale")))
        periods.append((period.get("id"), period.get("start"), found))
    return root, periods
