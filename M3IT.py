"""M3IT, the dataset: 40 vision-language datasets as `instruction, inputs, image_base64_str, outputs`, 7 of them in 80
languages too.

The tables CATALOGUE and LANGUAGES say what M3IT is; the builder below them reads shards, found at
data/<task>/<dataset>[/<language>]/<split>*.jsonl, from a folder, any fsspec URL or a Hub repository, in byte ranges,
so that one big file serves any number of workers and a resumed run skips to its place. This file runs alone, as the
loading script of a Hub repository (`datasets` 2.16.1 to 3.6), or imported by m3it.load_dataset, under any version.
Paper: https://arxiv.org/abs/2306.04387
"""

import base64
import contextlib
import difflib
import functools
import gzip
import hashlib
import inspect
import io
import json
import logging
import numbers
import operator
import os
import posixpath
import re
import socket
import struct
import threading
import time
import zlib
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import NamedTuple
from urllib.parse import unquote

import datasets
import fsspec
import huggingface_hub
import PIL.features
import PIL.Image
import PIL.ImageFile
import pyarrow
import pyarrow.compute
import pyarrow.parquet


class Dataset(NamedTuple):
    """One of the 40 datasets: what people decided about it. Sizes are the published ones, not measured; those of the
    validation splits of coco-cn, flickr8k-cn and mmchat follow from the sizes of their files. `license` is that of
    the annotations, `image_license` of the pictures: SPDX where one applies, else the source's words."""

    name: str
    task: str
    language: str
    modality: str
    train: int
    validation: int
    test: int
    held_out: bool
    translated: bool
    metric: str
    license: str
    image_license: str
    homepage: str
    paper: str


class Language(NamedTuple):
    """One of the 80 languages of M3IT-80; `nllb` is its FLORES-200 code, `spaces` whether blanks part the words,
    `checked` whether a competent reader has looked at our translations into it."""

    code: str
    name: str
    own_name: str
    nllb: str
    spaces: bool = True
    checked: bool = False

    @property
    def script(self):
        return self.nllb[-4:]

    @property
    def rtl(self):
        return self.script in ("Arab", "Hebr")


# fmt: off
CATALOGUE = {d.name: d for d in [
    #       name, task, language, modality, train, validation, test, held_out, translated, metric, license,
    #       image_license, homepage, paper
    Dataset("coco",                       "captioning",     "en", "image", 566_747, 25_010, 25_010, False, False, "cider",        "CC-BY-4.0",
            "Flickr terms per image", "https://cocodataset.org", "https://arxiv.org/abs/1504.00325"),
    Dataset("textcap",                    "captioning",     "en", "image",  97_765, 13_965,      0, False, False, "cider",        "CC-BY-4.0",
            "Flickr terms per image", "https://textvqa.org/textcaps", "https://arxiv.org/abs/2003.12462"),
    Dataset("image-paragraph-captioning", "captioning",     "en", "image",  14_575,  2_487,  2_489, False, False, "cider",        "unknown",
            "Flickr terms per image", "https://cs.stanford.edu/people/ranjaykrishna/im2p/index.html", "https://arxiv.org/abs/1611.06607"),
    Dataset("coco-goi",                   "classification", "en", "image",  30_000,  2_000,      0, False, False, "accuracy",     "CC-BY-4.0",
            "Flickr terms per image", "https://cocodataset.org", "https://arxiv.org/abs/1405.0312"),
    Dataset("coco-text",                  "classification", "en", "image", 118_312, 27_550,      0, False, False, "accuracy",     "CC-BY-4.0",
            "Flickr terms per image", "https://vision.cornell.edu/se3/coco-text-2/", "https://arxiv.org/abs/1601.07140"),
    Dataset("imagenet",                   "classification", "en", "image",  30_000, 50_000,      0, False, True,  "accuracy",     "research only",
            "research only", "https://image-net.org", "https://arxiv.org/abs/1409.0575"),
    Dataset("coco-itm",                   "classification", "en", "image",  30_000,  5_000,  5_000, False, False, "accuracy",     "CC-BY-4.0",
            "Flickr terms per image", "https://cocodataset.org", "https://arxiv.org/abs/1504.00325"),
    Dataset("snli-ve",                    "classification", "en", "image",  20_000, 14_339, 14_740, False, False, "accuracy",     "unknown",
            "research only", "https://github.com/maximek3/e-ViL", "https://arxiv.org/abs/2105.03761"),
    Dataset("mocheg",                     "classification", "en", "image",   4_991,    180,    466, False, False, "accuracy",     "CC-BY-4.0",
            "unknown", "https://github.com/VT-NLP/Mocheg", "https://arxiv.org/abs/2205.12487"),
    Dataset("iqa",                        "classification", "en", "image",   5_000,  1_000,  1_000, False, False, "accuracy",     "terms per source",
            "terms per source", "https://github.com/icbcbicc/IQA-Dataset", "https://doi.org/10.1146/annurev-vision-100419-120301"),
    Dataset("vqa-v2",                     "vqa",            "en", "image",  30_000, 30_000,      0, False, True,  "vqa_accuracy", "CC-BY-4.0",
            "Flickr terms per image", "https://visualqa.org", "https://arxiv.org/abs/1612.00837"),
    Dataset("shapes",                     "vqa",            "en", "image",  13_568,  1_024,  1_024, False, False, "accuracy",     "Apache-2.0",
            "Apache-2.0", "https://github.com/jacobandreas/nmn2", "https://arxiv.org/abs/1511.02799"),
    Dataset("docvqa",                     "vqa",            "en", "image",  39_463,  5_349,      0, False, False, "anls",         "unknown",
            "unknown", "https://www.docvqa.org", "https://arxiv.org/abs/2007.00398"),
    Dataset("ocr-vqa",                    "vqa",            "en", "image",  11_414,  4_940,      0, False, False, "exact_match",  "unknown",
            "publishers' terms per image", "https://ocr-vqa.github.io", "https://doi.org/10.1109/ICDAR.2019.00156"),
    Dataset("st-vqa",                     "vqa",            "en", "image",  26_074,      0,  4_070, False, False, "anls",         "unknown",
            "terms per source", "https://rrc.cvc.uab.es/?ch=11", "https://arxiv.org/abs/1905.13648"),
    Dataset("text-vqa",                   "vqa",            "en", "image",  27_113,      0,  5_734, False, False, "vqa_accuracy", "CC-BY-4.0",
            "Flickr terms per image", "https://textvqa.org", "https://arxiv.org/abs/1904.08920"),
    Dataset("gqa",                        "vqa",            "en", "image",  30_001,  5_001,      0, False, False, "exact_match",  "CC-BY-4.0",
            "Flickr terms per image", "https://cs.stanford.edu/people/dorarad/gqa/", "https://arxiv.org/abs/1902.09506"),
    Dataset("okvqa",                      "kvqa",           "en", "image",   9_009,  5_046,      0, False, True,  "vqa_accuracy", "CC-BY-4.0",
            "Flickr terms per image", "https://okvqa.allenai.org", "https://arxiv.org/abs/1906.00067"),
    Dataset("a-okvqa",                    "kvqa",           "en", "image",  17_056,  1_145,      0, False, False, "vqa_accuracy", "Apache-2.0",
            "Flickr terms per image", "https://github.com/allenai/aokvqa", "https://arxiv.org/abs/2206.01718"),
    Dataset("science-qa",                 "kvqa",           "en", "image",  12_726,  4_241,  4_241, False, False, "accuracy",     "CC-BY-NC-SA-4.0",
            "CC-BY-NC-SA-4.0", "https://scienceqa.github.io", "https://arxiv.org/abs/2209.09513"),
    Dataset("viquae",                     "kvqa",           "en", "image",   1_190,  1_250,  1_236, True,  False, "f1",           "CC-BY-4.0",
            "Wikimedia Commons terms per image", "https://github.com/PaulLerner/ViQuAE", "https://doi.org/10.1145/3477495.3531753"),
    Dataset("clevr",                      "reasoning",      "en", "image",  30_000,  2_000,      0, False, False, "exact_match",  "CC-BY-4.0",
            "CC-BY-4.0", "https://cs.stanford.edu/people/jcjohns/clevr/", "https://arxiv.org/abs/1612.06890"),
    Dataset("nlvr",                       "reasoning",      "en", "image",  29_372,  2_000,      0, False, False, "accuracy",     "CC-BY-4.0",
            "not licensed", "https://github.com/lil-lab/nlvr", "https://arxiv.org/abs/1811.00491"),
    Dataset("vcr",                        "reasoning",      "en", "image",  25_000,  5_000,  5_000, False, False, "rouge_l",      "research only",
            "research only", "https://visualcommonsense.com", "https://arxiv.org/abs/1811.10830"),
    Dataset("visual-mrc",                 "reasoning",      "en", "image",  15_000,  2_500,  5_000, False, False, "rouge_l",      "unknown",
            "unknown", "https://github.com/nttmdlab-nlp/VisualMRC", "https://arxiv.org/abs/2101.11272"),
    Dataset("winoground",                 "reasoning",      "en", "image",       0,      0,    800, True,  True,  "accuracy",     "research only",
            "research only", "https://huggingface.co/datasets/facebook/winoground", "https://arxiv.org/abs/2204.03162"),
    Dataset("vist",                       "generation",     "en", "image",   5_000,  4_315,  4_350, False, True,  "rouge_l",      "unknown",
            "Flickr terms per image", "http://visionandlanguage.net/VIST/", "https://arxiv.org/abs/1604.03968"),
    Dataset("visual-dialog",              "generation",     "en", "image",  50_000,  1_000,  1_000, False, False, "rouge_l",      "CC-BY-4.0",
            "Flickr terms per image", "https://visualdialog.org", "https://arxiv.org/abs/1611.08669"),
    Dataset("multi30k",                   "generation",     "en", "image",  90_000,  6_000, 12_000, False, False, "bleu",         "research only",
            "research only", "https://github.com/multi30k/dataset", "https://arxiv.org/abs/1605.00459"),
    Dataset("fm-iqa",                     "vqa",            "zh", "image", 164_735, 75_206,      0, True,  False, "rouge_l",      "unknown",
            "Flickr terms per image", "https://arxiv.org/abs/1505.05612", "https://arxiv.org/abs/1505.05612"),
    Dataset("coco-cn",                    "captioning",     "zh", "image",  18_341,  1_000,  1_000, True,  False, "cider",        "MIT",
            "Flickr terms per image", "https://github.com/li-xirong/coco-cn", "https://arxiv.org/abs/1805.08661"),
    Dataset("flickr8k-cn",                "captioning",     "zh", "image",   6_000,  1_000,  1_000, True,  False, "cider",        "unknown",
            "research only", "https://github.com/li-xirong/flickr8kcn", "https://doi.org/10.1145/2911996.2912049"),
    Dataset("chinese-food",               "classification", "zh", "image",       0,      0,  1_100, True,  False, "accuracy",     "unknown",
            "unknown", "https://sites.google.com/view/chinesefoodnet", "https://arxiv.org/abs/1705.02743"),
    Dataset("mmchat",                     "generation",     "zh", "image",   3_000,  1_000,  1_000, True,  False, "rouge_l",      "MIT",
            "unknown", "https://github.com/silverriver/MMChat", "https://arxiv.org/abs/2108.07154"),
    Dataset("ss",                         "classification", "en", "video",   2_000,  2_000,  2_000, True,  False, "accuracy",     "research only",
            "research only", "https://developer.qualcomm.com/software/ai-datasets/something-something", "https://arxiv.org/abs/1706.04261"),
    Dataset("ivqa",                       "vqa",            "en", "video",   5_994,  2_000,  2_000, True,  False, "exact_match",  "unknown",
            "YouTube terms per video", "https://antoyang.github.io/just-ask.html", "https://arxiv.org/abs/2012.00451"),
    Dataset("msvd-qa",                    "vqa",            "en", "video",   1_161,    245,    504, True,  False, "exact_match",  "unknown",
            "YouTube terms per video", "https://github.com/xudejing/video-question-answering", "https://doi.org/10.1145/3123266.3123427"),
    Dataset("activitynet-qa",             "vqa",            "en", "video",   3_200,  1_800,    800, True,  False, "exact_match",  "non-commercial",
            "YouTube terms per video", "https://github.com/MILVLG/activitynet-qa", "https://arxiv.org/abs/1906.02467"),
    Dataset("msrvtt",                     "captioning",     "en", "video",   2_000,  1_000,  1_000, True,  True,  "cider",        "research only",
            "YouTube terms per video", "https://doi.org/10.1109/CVPR.2016.571", "https://doi.org/10.1109/CVPR.2016.571"),
    Dataset("msrvtt-qa",                  "vqa",            "en", "video",   6_513,    497,  2_990, True,  True,  "exact_match",  "unknown",
            "YouTube terms per video", "https://github.com/xudejing/video-question-answering", "https://doi.org/10.1145/3123266.3123427"),
]}

LANGUAGES: dict[str, Language] = {row[0]: Language(*row) for row in [
    ("af", "Afrikaans", "Afrikaans", "afr_Latn"),        ("am", "Amharic", "አማርኛ", "amh_Ethi"),               ("ar", "Arabic", "العربية", "arb_Arab"),
    ("as", "Assamese", "অসমীয়া", "asm_Beng"),            ("ast", "Asturian", "Asturianu", "ast_Latn"),        ("be", "Belarusian", "Беларуская", "bel_Cyrl"),
    ("bg", "Bulgarian", "Български", "bul_Cyrl"),        ("bn", "Bengali", "বাংলা", "ben_Beng"),              ("bs", "Bosnian", "Bosanski", "bos_Latn"),
    ("ca", "Catalan", "Català", "cat_Latn"),             ("ceb", "Cebuano", "Cebuano", "ceb_Latn"),           ("cs", "Czech", "Čeština", "ces_Latn"),
    ("cy", "Welsh", "Cymraeg", "cym_Latn"),              ("da", "Danish", "Dansk", "dan_Latn"),               ("de", "German", "Deutsch", "deu_Latn"),
    ("el", "Greek", "Ελληνικά", "ell_Grek"),             ("es", "Spanish", "Español", "spa_Latn"),            ("et", "Estonian", "Eesti", "est_Latn"),
    ("fi", "Finnish", "Suomi", "fin_Latn"),              ("fr", "French", "Français", "fra_Latn"),            ("fuv", "Nigerian Fulfulde", "Fulfulde", "fuv_Latn"),
    ("gl", "Galician", "Galego", "glg_Latn"),            ("gu", "Gujarati", "ગુજરાતી", "guj_Gujr"),           ("ha", "Hausa", "Hausa", "hau_Latn"),
    ("he", "Hebrew", "עברית", "heb_Hebr"),               ("hi", "Hindi", "हिन्दी", "hin_Deva"),                ("hr", "Croatian", "Hrvatski", "hrv_Latn"),
    ("hu", "Hungarian", "Magyar", "hun_Latn"),           ("hy", "Armenian", "Հայերեն", "hye_Armn"),           ("id", "Indonesian", "Bahasa Indonesia", "ind_Latn"),
    ("ig", "Igbo", "Igbo", "ibo_Latn"),                  ("is", "Icelandic", "Íslenska", "isl_Latn"),         ("it", "Italian", "Italiano", "ita_Latn"),
    ("ja", "Japanese", "日本語", "jpn_Jpan", False),     ("jv", "Javanese", "Basa Jawa", "jav_Latn"),         ("ka", "Georgian", "ქართული", "kat_Geor"),
    ("kk", "Kazakh", "Қазақ тілі", "kaz_Cyrl"),          ("km", "Khmer", "ភាសាខ្មែរ", "khm_Khmr", False),      ("kn", "Kannada", "ಕನ್ನಡ", "kan_Knda"),
    ("ko", "Korean", "한국어", "kor_Hang"),              ("ky", "Kyrgyz", "Кыргызча", "kir_Cyrl"),            ("lb", "Luxembourgish", "Lëtzebuergesch", "ltz_Latn"),
    ("lg", "Ganda", "Luganda", "lug_Latn"),              ("lij", "Ligurian", "Ligure", "lij_Latn"),           ("li", "Limburgish", "Limburgs", "lim_Latn"),
    ("ln", "Lingala", "Lingála", "lin_Latn"),            ("lo", "Lao", "ພາສາລາວ", "lao_Laoo", False),         ("lt", "Lithuanian", "Lietuvių", "lit_Latn"),
    ("lv", "Latvian", "Latviešu", "lvs_Latn"),           ("mi", "Maori", "Te reo Māori", "mri_Latn"),         ("mk", "Macedonian", "Македонски", "mkd_Cyrl"),
    ("ml", "Malayalam", "മലയാളം", "mal_Mlym"),           ("mr", "Marathi", "मराठी", "mar_Deva"),              ("mt", "Maltese", "Malti", "mlt_Latn"),
    ("my", "Burmese", "မြန်မာဘာသာ", "mya_Mymr", False),   ("nl", "Dutch", "Nederlands", "nld_Latn"),           ("ny", "Nyanja", "Chinyanja", "nya_Latn"),
    ("oc", "Occitan", "Occitan", "oci_Latn"),            ("pa", "Panjabi", "ਪੰਜਾਬੀ", "pan_Guru"),             ("pl", "Polish", "Polski", "pol_Latn"),
    ("pt", "Portuguese", "Português", "por_Latn"),       ("ro", "Romanian", "Română", "ron_Latn"),            ("ru", "Russian", "Русский", "rus_Cyrl"),
    ("sd", "Sindhi", "سنڌي", "snd_Arab"),                ("sk", "Slovak", "Slovenčina", "slk_Latn"),          ("sn", "Shona", "ChiShona", "sna_Latn"),
    ("so", "Somali", "Soomaali", "som_Latn"),            ("sr", "Serbian", "Српски", "srp_Cyrl"),             ("sv", "Swedish", "Svenska", "swe_Latn"),
    ("ta", "Tamil", "தமிழ்", "tam_Taml"),                 ("te", "Telugu", "తెలుగు", "tel_Telu"),              ("tg", "Tajik", "Тоҷикӣ", "tgk_Cyrl"),
    ("th", "Thai", "ภาษาไทย", "tha_Thai", False),        ("tl", "Tagalog", "Tagalog", "tgl_Latn"),            ("tr", "Turkish", "Türkçe", "tur_Latn"),
    ("uk", "Ukrainian", "Українська", "ukr_Cyrl"),       ("ur", "Urdu", "اردو", "urd_Arab"),                  ("vi", "Vietnamese", "Tiếng Việt", "vie_Latn"),
    ("wo", "Wolof", "Wolof", "wol_Latn"),                ("zh", "Chinese (Simplified)", "中文", "zho_Hans", False),
]}
# fmt: on

FIELDS = ("instruction", "inputs", "image_base64_str", "outputs")  # the published columns, in the published order
SAID = ("prompt", "completion", "references")  # of a release: its rows once more, for trainers and evaluators
SPLITS = {"train": "train", "validation": "validation", "val": "validation", "dev": "validation", "test": "test"}
SHARD = re.compile(rf"({'|'.join(SPLITS)})(?:-(\d+)-of-(\d+))?\.(jsonl|jsonl\.gz|jsonl\.zst|parquet)")
DESCRIPTION = "M3IT: 40 vision-language datasets as instruction, inputs, image_base64_str, outputs; seven of them in 80 languages."
CITATION = """@article{li2023m3it,
  title   = {M$^3$IT: A Large-Scale Dataset towards Multi-Modal Multilingual Instruction Tuning},
  author  = {Lei Li and Yuwei Yin and Shicheng Li and Liang Chen and Peiyi Wang and Shuhuai Ren and Mukai Li and
             Yazheng Yang and Jingjing Xu and Xu Sun and Lingpeng Kong and Qi Liu},
  journal = {arXiv preprint arXiv:2306.04387},
  year    = {2023}
}"""
MiB = 1 << 20
PIECE_BYTES = 16 * MiB  # what a worker reads at once: 11 ms of parsing to skip on resume, one request over HTTP
FOOTER_BYTES = 32 * MiB  # of Parquet files, that are kept: a thousand shards of pictures have as much
TAIL_BYTES = MiB // 4  # read beyond a piece, since its last row ends there: most rows of 110 kB need no second request
RETRY_SECONDS = (1, 2, 4, 8, 16, 32, 60, 60, 60, 60)
LONGEST_WAIT_SECONDS = 600  # of the waits that servers state
STAMPS = ("size", "mtime", "LastModified", "last_modified", "updated", "ETag", "etag", "created")  # of a file's state
FINAL = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, ImportError, NotImplementedError)
FINAL += (TypeError, ValueError, LookupError, AttributeError)  # what no waiting changes
FINAL_NAME = re.compile(
    "Credential|Authentication|GoogleAuth|AccessDenied|ProfileNotFound|NoSuch"
)  # of the clients of clouds
WITHOUT_NETWORK = "What was loaded before loads offline; in a clone, pass its folder: '.', or --repo ."
IMAGES_KEY = b'"image_base64_str":'
NEWLINE = b"\n"
LFS = b"version https://git-lfs"
PNG = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112  # of EXIF: 5 to 8 are pictures that lie on their side
CACHE_FOLDER = "m3_it"  # of prepared rows: `datasets` would name it after the module of a class, which may move

logger = logging.getLogger(__name__)


URL = re.compile(r"""(\w[\w+.-]*)://(?:([^\s/]*)@)?((?:(?!::\w+://)[^\s?#"'<>])*)(?:[?#][^\s"'<>]*[^\s"'<>:;,.)?])?""")
PLACE_BEFORE_HOST = {"abfs", "abfss", "wasb", "wasbs", "git", "github"}  # a container, a repository: nobody's password


def public_url(text):
    """The text with each URL in it as anybody may see it: without user and password, and without what follows ? or #,
    where tokens and signatures stand."""

    def shown(match):
        scheme, user, place = match.groups()
        return f"{scheme}://{f'{user}@' if user and scheme.lower() in PLACE_BEFORE_HOST else ''}{place}"

    return URL.sub(shown, text) if "://" in text else text


def writable(text):
    """The text as UTF-8 can have it: half a character, of a row or of a file's name, is spelled out, as \\ud800."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class M3ITError(Exception):
    """Something a user can fix: the message says where, what was expected, what was found, what to do; no password, and
    nothing that a log or a terminal cannot write."""

    def __init__(self, message=""):
        super().__init__(writable(public_url(str(message))))


class ShardError(M3ITError):
    """A file of rows, or one row of it, cannot be read or written; `reason` is what drops are counted by."""

    def __init__(self, message: str, reason: str = "unreadable"):
        super().__init__(message)
        self.reason = reason


_PILLOW = threading.Lock()  # held while its settings, which are those of the whole process, are ours
UNREADABLE = (ValueError, RecursionError, ShardError)  # what a row that cannot be read raises


def reason_of(error):
    """What a row that raised one of these is counted by."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    return error.reason if isinstance(error, ShardError) else "not JSON"


# ---- where the bytes are


def open_url(path, **options):
    """(filesystem, path on it) of a folder or an fsspec URL; ShardError where nothing installed reads such URLs."""
    try:
        return fsspec.core.url_to_fs(os.fspath(path), **options)
    except (ValueError, ImportError) as error:  # no such protocol; or its package is not installed
        raise ShardError(f"{path}: expected a folder or a URL that can be read, {error}") from error


class Repository:
    """A folder, an fsspec URL or a Hub repository at one commit: listed once, read in byte ranges with patience;
    travels to workers."""

    def __init__(self, path, revision=None, token=None, storage_options=None, cache_dir=None):
        path, self.commit, self.repo_id = os.fspath(path), None, None
        self.path = public_url(path)  # for people: what is read stands in `fs` and `root`
        self.known_columns, self.footers = {}, {}
        repo_id, _, named = path.removeprefix("hf://datasets/").partition("@")
        folder = os.path.expanduser(path)
        if "://" in repo_id:
            self.fs, self.root = open_url(path, **(storage_options or {}))
        elif os.path.isdir(folder):
            self.fs, self.root = fsspec.filesystem("file"), os.path.abspath(folder)
        elif re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", repo_id):
            self.fs, self.repo_id = huggingface_hub.HfFileSystem(token=token), repo_id
            self.commit = self._resolve(repo_id, revision or unquote(named) or "main", token, cache_dir)
            self.root = f"datasets/{repo_id}@{self.commit}"
        else:
            hint = f' For the dataset: load_dataset("MMInstruction/M3IT", {path!r}).' if path in config_names() else ""
            raise ShardError(f"{path}: expected a folder, a URL or a Hub repository (user/name); there is none.{hint}")

    def __getstate__(self):
        # The listing and what the Hub said of the commit go along: a worker that starts without them asks the API again.
        caches = ("dircache", "_repo_and_revision_exists_cache") if self.commit else ()
        return {
            **vars(self),
            "footers": {},
            "known": {name: vars(self.fs)[name] for name in caches if name in vars(self.fs)},
        }

    def __setstate__(self, state):
        vars(state["fs"]).update(state.pop("known"))
        vars(self).update(state)

    def _resolve(self, repo_id, revision, token, cache_dir):
        """The commit of a revision; the one seen last where the Hub cannot be reached."""
        if re.fullmatch("[0-9a-f]{40}", revision):
            return revision
        name = hashlib.sha256(f"{huggingface_hub.constants.ENDPOINT}/{repo_id}@{revision}".encode()).hexdigest()[:32]
        cache = os.path.expanduser(str(cache_dir or datasets.config.HF_DATASETS_CACHE))
        seen, files = os.path.join(cache, "m3it-commits", name), fsspec.filesystem("file")

        def ask():
            if is_offline():
                raise OSError("HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set")
            return huggingface_hub.HfApi(token=token).dataset_info(repo_id, revision=revision).sha

        known = files.exists(seen)
        try:
            commit = self._patiently(ask, f"{repo_id}@{revision}", offline=known)
        except ShardError as error:
            status = http_status(error)
            if not known or (status is not None and not passing(status)):
                raise
            logger.warning("%s@%s: the Hub cannot be reached; going on with the commit seen last", repo_id, revision)
            return files.cat_file(seen).decode()
        files.makedirs(os.path.dirname(seen), exist_ok=True)
        files.pipe_file(seen, commit.encode())
        return commit

    @classmethod
    def of_files(cls, root, names):
        """A local folder of which these files are listed, and nothing that lies beside them."""
        repository = cls(root)
        found = {name: os.stat(os.path.join(repository.root, name)) for name in names}
        repository.files = {n: {"size": s.st_size, "mtime": s.st_mtime, "type": "file"} for n, s in found.items()}
        return repository

    @cached_property
    def files(self):
        """Path -> info (size, mtime or ETag) of every file that can hold rows, sorted by path; one listing per job."""
        root, options, data = self.root, {"detail": True}, posixpath.join(self.root, "data")
        if self.commit:
            options["expand_info"] = False  # else old versions ask for the last commit of every file
        elif self.fs.isdir(data):
            root = data  # a folder may hold anything beside it
        else:
            options["maxdepth"] = 3  # a converted branch: <config>/<split>/0000.parquet
        found = sorted(self._find(root, options).items())
        files = {posixpath.relpath(name, self.root): i for name, i in found if i["type"] != "directory"}
        return {path: self._sized(path) if i["size"] is None else i for path, i in files.items()}

    def _find(self, folder, options, way=()):
        """Name -> info of the files below a folder. On a disk links are followed: to a file for its size and time, which
        are those of what is read; to a folder, unless a link on the `way` down, or this one, lies in that folder."""
        found = self._patiently(lambda: self.fs.find(folder, **options), self.path)
        for name in [name for name, info in found.items() if info.get("islink")] if self.local else ():
            target = os.path.realpath(name)
            if os.path.isfile(target):
                found[name] = {**found[name], **self.fs.info(target), "name": name}
            elif os.path.isdir(target):
                del found[name]
                further = (*way, os.path.realpath(os.path.dirname(name)))
                left = options.get("maxdepth", 99) - len(os.path.relpath(name, folder).split(os.sep))
                if left and not any(os.path.commonpath((place, target)) == target for place in further):
                    found |= self._find(name, {**options, "maxdepth": left}, further)
        return found

    def _sized(self, path):
        """What a file server says of one file, where its listing, a page of links, states no size."""
        return self._patiently(lambda: self.fs.info(posixpath.join(self.root, path)), f"{self.path}/{path}")

    def _look(self, name):
        """What a listing says now of one file: in the words of the first, since `info` may round a time otherwise."""
        self.fs.invalidate_cache()
        listed = {i["name"]: i for i in self.fs.ls(posixpath.dirname(name), detail=True)}.get(name, {"size": None})
        return self.fs.info(name) if listed["size"] is None else listed

    def size(self, path):
        return self.files[path]["size"]

    def original(self, key):
        """A row's key by the name that its file has where it was published."""
        return key

    @property
    def local(self):
        return isinstance(self.fs, fsspec.implementations.local.LocalFileSystem)

    def identity(self, paths):
        """What a cache entry is named after: the commit, or else every file's path, size and time."""
        if self.commit:
            return f"{huggingface_hub.constants.ENDPOINT} {self.root}"
        return f"{self.root} {[(path, [str(self.files[path].get(stamp)) for stamp in STAMPS]) for path in paths]}"

    def check_unchanged(self, path):
        """ShardError if a file is no longer the one that was listed: read while it changes, it gives a mixture."""
        if self.commit or path not in self.files:
            return
        name, listed = posixpath.join(self.root, path), self.files[path]
        if self.local:
            stat = os.stat(name) if os.path.exists(name) else None
            now = {"size": stat.st_size, "mtime": stat.st_mtime} if stat else {"size": None}
        else:
            now = self._patiently(lambda: self._look(name), f"{self.path}/{path}")
        if any(listed[stamp] != now[stamp] for stamp in STAMPS if stamp in listed and stamp in now):
            raise ShardError(
                f"{self.path}/{path}: changed while it was read. Call again when it stands still.", "changed"
            )

    def read(self, path, start, stop):
        """Bytes [start, stop) of a file, all of them; ShardError if the server goes on failing."""
        if start == stop and not self.local:
            return b""  # of a local one, a link that leads nowhere is found by opening it
        options = {"cache_type": "none"} if self.commit else {}  # the default reads 5 MiB more than it is asked for

        def fetch():
            data = self.fs.cat_file(posixpath.join(self.root, path), start=start, end=stop, **options)
            if len(data) != stop - start:
                raise OSError(f"asked for {stop - start} bytes from {start} on, got {len(data)}")
            return data

        return self._patiently(fetch, f"{self.path}/{path}")

    def columns(self, path):
        """The names of the columns of a Parquet file, by its footer."""
        if path not in self.known_columns:
            try:
                self.known_columns[path] = open_parquet(self, path).schema_arrow.names
            except (OSError, ValueError, pyarrow.ArrowException) as error:
                raise ShardError(
                    f"{self.path}/{path}: cannot be read ({error}). Download or write it again."
                ) from error
        return self.known_columns[path]

    def where(self, path, offset):
        """A row's place for people: file and line, or file and byte (row, in Parquet) where counting lines would mean
        fetching them."""
        if self.commit or not path.endswith(".jsonl"):
            return f"{path}, {'row' if path.endswith('.parquet') else 'byte'} {offset}"
        blocks = (self.read(path, at, min(at + MiB, offset)) for at in range(0, offset, MiB))
        return f"{path}:{1 + sum(block.count(NEWLINE) for block in blocks)}"

    def _patiently(self, action, what, offline=False):
        """What the action returns, tried again after faults that pass: 408, 429 (after the stated wait), 5xx, cut,
        stalled, short; once more after a 403, since a signed address may have expired, and each try asks for a new one.
        `offline`: whether one can do without an answer, so that a server that gives none is asked but once."""
        refused = False
        for wait in (*RETRY_SECONDS, None):
            try:
                return action()
            except Exception as error:
                status, again = http_status(error), self._passes(error)
                if status == 403 and not self.local:
                    again, refused = not refused, True
                again = again and not (offline and status is None)
                told = public_url(" ".join(str(error).split()))[:400]
                found = f"{what}: cannot be read, {type(error).__name__}: {told}"
                if not self.local and (is_offline() or _has_no_host(error)):
                    found = f"{what}: cannot be read, no network ({told}). {WITHOUT_NETWORK}"
                if wait is None or not again:
                    raise ShardError(found) from error
                wait = max(wait, _answer(error)[1])
                logger.warning("%s; trying again in %g s", found, wait)
            time.sleep(wait)

    def _passes(self, error):
        """Whether trying again can help."""
        if self.local or is_offline() or _has_no_host(error):
            return False
        status = http_status(error)
        if status is not None:
            return passing(status)
        if isinstance(error, json.JSONDecodeError):
            return True
        if isinstance(error, FINAL):
            return False
        while error is not None:
            if any(FINAL_NAME.search(kind.__name__) for kind in type(error).__mro__):
                return False
            error = error.__cause__
        return True


def is_offline():
    """Whether the user has said so."""
    return huggingface_hub.constants.HF_HUB_OFFLINE or datasets.config.HF_DATASETS_OFFLINE


def _has_no_host(error):
    """Whether no host was found under a name: no network, or a name that is wrong."""
    while error is not None:
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
            return True
        error = error.__cause__ or error.__context__
    return False


def _answer(error):
    """(HTTP status or None, seconds to wait) of the server's answer behind an error: a 429 may come as a
    FileNotFoundError that it caused."""
    while error is not None:
        answer = getattr(error, "response", None)
        status = getattr(answer, "status_code", None) or getattr(error, "status", None)
        if isinstance(status, int):
            headers = getattr(answer, "headers", None) or getattr(error, "headers", None) or {}
            return status, stated_wait(headers)
        error = error.__cause__ or error.__context__
    return None, 0


def stated_wait(headers):
    """Seconds that a server asks to wait, at most ten minutes, 0 if it says nothing: `retry-after-ms`; `Retry-After`,
    as seconds or a date; or the `t` of the Hub's `RateLimit`."""
    stated = headers.get("Retry-After", "")
    number = re.compile(r"\d+(\.\d+)?")
    if number.fullmatch(headers.get("Retry-After-Ms", "")):
        seconds = float(headers.get("Retry-After-Ms")) / 1000
    elif found := number.match(stated) or re.search(r"(?<=\bt=)\d+", headers.get("RateLimit", "")):
        seconds = float(found[0])
    else:
        try:
            seconds = max(0.0, parsedate_to_datetime(stated).timestamp() - time.time())
        except (ValueError, TypeError):
            seconds = 0.0
    return min(seconds, LONGEST_WAIT_SECONDS)


def passing(status):
    """Whether the server may answer otherwise a little later."""
    return status >= 500 or status in (408, 429)


def http_status(error):
    """The HTTP status behind an error, or None."""
    return _answer(error)[0]


class RangeFile(fsspec.spec.AbstractBufferedFile):
    """A file of the repository as pyarrow wants it; every read is a ranged, retried one."""

    def __init__(self, repository, path):
        self.repository = repository
        super().__init__(repository.fs, path, cache_type="none", size=repository.size(path))

    def _fetch_range(self, start, end):
        end = min(end, self.size)
        return self.repository.read(self.path, start, end) if start < end else b""


# ---- rows


def find_shards(repository):
    """Config -> split -> [(path, match)], by looking:
    data/<task>/<dataset>[/<language>]/<split>[-00000-of-00003].<kind>."""
    found = {}
    for path in repository.files:
        *folders, name = path.split("/")
        shard = SHARD.fullmatch(name)
        if shard and folders[:1] == ["data"] and len(folders) in (3, 4):
            found.setdefault("-".join(folders[2:]), {}).setdefault(SPLITS[shard[1]], []).append((path, shard))
    return found


def twin_of(repository, found, config_name):
    """The config of a release, `<name>-images`, that holds the rows of a config as image files, with their ids; the
    config itself where there is none, or one that is no such twin: a release is known by its columns."""
    twin = f"{config_name}-images"
    paths = [path for name in (config_name, twin) for shards in found.get(name, {}).values() for path, _ in shards]
    if twin not in found or not all(path.endswith(".parquet") for path in paths):
        return config_name
    return twin if {"images", "row_id", "image_sha256"} <= set(repository.columns(paths[-1])) else config_name


def complete(shards):
    """The paths of one split; ShardError if a numbered one is missing, or if the split lies there twice."""
    paths = [path for path, _ in shards]
    if strange := [path for path in paths if path != writable(path)]:
        raise ShardError(f"{strange[0]}: expected a name in UTF-8. Rename what is called so.", "broken name")
    total = shards[0][1][3]
    where = f"{posixpath.dirname(paths[0])}: {', '.join(map(posixpath.basename, paths))}"
    if len({(shard[1], shard[3], shard[4]) for _, shard in shards}) > 1 or (total is None and len(paths) > 1):
        raise ShardError(f"{where}: one split, stored more than once. Keep one of them.")
    numbers = sorted(int(shard[2]) for _, shard in shards) if total else []
    if total and numbers != list(range(int(total))):
        first = min(set(range(int(total))) - set(numbers), default=total)
        counts = f"expected {int(total)} shards, found {len(paths)}"
        raise ShardError(f"{where}: {counts}; number {first} is missing. Download it, or write the split again.")
    return paths


def cut(repository, paths):
    """Pieces (path, start, stop) of about 16 MiB, at least 32 in all where there are 32 MiB; compressed text cannot
    be cut."""
    total = sum(repository.size(path) for path in paths)
    step = max(MiB, min(PIECE_BYTES, total // 32))
    pieces = []
    for path in paths:
        size = repository.size(path)
        count = 1 if path.endswith((".gz", ".zst")) else max(1, round(size / step))
        bounds = [size * i // count for i in range(count + 1)]
        pieces += [(path, start, stop) for start, stop in zip(bounds, bounds[1:], strict=False)]
    return pieces


def read_rows(repository, piece, columns=None, filters=None, said=True):
    """Yield (offset, line or row) of the rows that begin in a piece: bytes of JSON, or of Parquet dicts (offset: row
    number), a ShardError where one cannot be made of what the file holds. `as_row` makes rows of them. ShardError at the
    end if the file is another one by then. `columns`, and a RowFilter: what is read of Parquet; rows that it cannot tell
    from the columns alone are given, too. `said`: whether, of a release, what its other columns say once more."""
    path, start, stop = piece
    if path.endswith(".jsonl"):
        rows = _read_lines(repository, path, start, stop)
    elif path.endswith(".parquet"):
        rows = _read_parquet(repository, path, start, stop, columns, filters, said)
    else:
        rows = _read_compressed(repository, path)
    try:
        yield from rows
    except (OSError, EOFError, ValueError, zlib.error, pyarrow.ArrowException) as error:
        repository.check_unchanged(path)
        raise ShardError(
            f"{repository.path}/{path}: cannot be read to its end ({error}). Download or write it again."
        ) from error
    repository.check_unchanged(path)


def _read_lines(repository, path, start, stop):
    size = repository.size(path)
    base = max(start - 1, 0)  # the byte before tells whether a row begins at `start`
    buffer = repository.read(path, base, min(stop + TAIL_BYTES, size))
    at = buffer.find(NEWLINE) + 1 if start else 3 * buffer.startswith(b"\xef\xbb\xbf")
    if start and not at:
        return
    tail = MiB
    while base + at < stop:
        end = buffer.find(NEWLINE, at)
        while end < 0 and base + len(buffer) < size:
            searched, buffer, base, at = len(buffer) - at, buffer[at:], base + at, 0
            buffer += repository.read(path, base + len(buffer), min(base + len(buffer) + tail, size))
            end, tail = buffer.find(NEWLINE, searched), tail * 2
        line = buffer[at : end if end >= 0 else len(buffer)]
        if line and not line.isspace():
            yield base + at, line
        at = end + 1 if end >= 0 else len(buffer)


def _read_compressed(repository, path):
    offset = 0
    if not repository.size(path):
        raise OSError("it is empty")
    with unpack(RangeFile(repository, path)) as stream:
        for line in io.BufferedReader(stream, MiB):
            text = line if offset else line.removeprefix(b"\xef\xbb\xbf")
            if text and not text.isspace():
                yield offset + len(line) - len(text), text
            offset += len(line)


def unpack(file):
    """The stream of bytes that a RangeFile, named .gz or .zst, was compressed from."""
    compressed = io.BufferedReader(file, 4 * MiB)  # one request for what a decompressor asks for in crumbs
    if file.path.endswith(".gz"):
        return gzip.GzipFile(
            fileobj=compressed
        )  # passes over zeros after the end, as gzip does: tapes are filled with them
    return pyarrow.CompressedInputStream(pyarrow.PythonFile(compressed, mode="r"), "zstd")


def _read_parquet(repository, path, start, stop, columns, filters, said):
    file = open_parquet(repository, path, pre_buffer=True)
    if not said and columns is None and {*SAID, "image_sha256"} <= {*file.schema_arrow.names}:
        columns = [name for name in file.schema_arrow.names if name not in SAID]
    number = 0
    for i in range(file.num_row_groups):
        group = file.metadata.row_group(i)
        if start <= begin_of(group) < stop:
            where = functools.partial(repository.where, path)
            kept = None if filters is None else _passing(file, i, filters, number, where)
            asked = {"batch_size": 32, "row_groups": [i], "columns": columns}
            at = 0  # in the row group: of one without a row that passes no picture is read
            for batch in file.iter_batches(**asked) if kept is None or kept else ():
                rows = zip(range(at, at + batch.num_rows), _rows_of(batch), strict=True)
                yield from ((number + k, row) for k, row in rows if kept is None or k in kept)
                at += batch.num_rows
        number += group.num_rows


def _passing(file, group, filters, first, where):
    """The numbers of the rows of a row group that may pass, by those of its columns that the filters name; None for all.
    `first`: the number of its first row in the file. `where`: called with a row's number, says its place."""
    if filters.expression is not None:
        plain = [field.name for field in file.schema_arrow if not field.type.num_fields]
        table = file.read_row_group(group, columns=plain)
        numbered = table.append_column("row of the group", pyarrow.array(range(table.num_rows)))
        return set(numbered.filter(filters.expression)["row of the group"].to_pylist())
    told = filters.told_by(file.schema_arrow.names)
    if told is None:
        return None
    rows, passing = [], set()
    for batch in file.read_row_group(group, columns=told.columns(file.schema_arrow.names)).to_batches():
        rows += _rows_of(batch)
    for number, row in enumerate(rows):
        try:
            meta, place = functools.partial(stored_meta, row), functools.partial(where, first + number)
            if told.passes(Columns(as_row(row), {"meta": meta}, place)):
                passing.add(number)
        except UNREADABLE:
            passing.add(number)  # it is refused when it is read
        except M3ITError:
            if not told.is_part:
                raise
            passing.add(number)  # a condition that is not asked here may leave it out before
    return passing


def open_parquet(repository, path, **options):
    """A Parquet file of the repository; ValueError where it has no columns, or one of them twice. The footers of those
    read last are kept: a mixture comes back to a file for each of its row groups."""
    footers = repository.footers
    file = pyarrow.parquet.ParquetFile(RangeFile(repository, path), metadata=footers.pop(path, None), **options)
    footers[path] = file.metadata
    while len(footers) > 1 and sum(footer.serialized_size for footer in [*footers.values()]) > FOOTER_BYTES:
        footers.pop([*footers][0], None)
    names = file.schema_arrow.names
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice or not names:
        raise ValueError(f"it has the column {twice[0]!r} more than once" if twice else "it has no columns")
    return file


def begin_of(group):
    """Where a row group begins in its file, by the footer."""
    column = group.column(0)
    return min(filter(None, (column.dictionary_page_offset, column.data_page_offset)))


def _rows_of(batch):
    """The rows of a batch as dicts; for one that Python has no values for, its error."""
    try:
        return batch.to_pylist()
    except (ValueError, OverflowError, pyarrow.ArrowException) as error:  # bytes that are no UTF-8, a year above 9999
        if batch.num_rows > 1:
            return [row for i in range(batch.num_rows) for row in _rows_of(batch.slice(i, 1))]
        name, *others = batch.schema.names
        if others:  # which of them is it?
            found = (_rows_of(batch.select([each])) for each in (name, *others))
            return next(rows for rows in found if isinstance(rows[0], ShardError))
        told = f"expected a value that can be read in {name}, found one that cannot ({error})"
        return [ShardError(told, f"{name} cannot be read")]


def as_row(line):
    """The row that `read_rows` gives as a line of JSON, a dict or an error: what it holds, or the error is raised."""
    if isinstance(line, ShardError):
        raise line
    return parse(line) if isinstance(line, bytes) else line


def parse(line):
    """The JSON object of a line. Nearly all of its bytes are base64, which a JSON parser reads slowly: a list of
    plain strings is cut out first, verified, and put back as it is; anything else is parsed as a whole. A number stands
    in its place: where the row has another list in the end, the key stands there twice, and JSON's last one counts."""
    key = line.find(IMAGES_KEY)
    start = line.find(b"[", key) if key >= 0 else -1
    stop = line.find(b"]", start) if start >= 0 else -1
    if stop >= 0 and line.find(b"\\", start, stop) < 0 and not line[key + len(IMAGES_KEY) : start].strip():
        try:
            images = _plain_strings(line, start, stop)
            row = json.loads((line[: start + 1] + b"%d" % stop + line[stop:]).decode()) if images else None
            if isinstance(row, dict) and row.get("image_base64_str") == [stop]:
                row["image_base64_str"] = images
                return row
        except (ValueError, RecursionError):
            pass  # parsed as a whole it gives the better message
    try:
        return json.loads(line.decode("utf-8-sig"))
    except RecursionError as error:
        raise ShardError("expected one JSON object a line, found one nested too deep", "nested too deep") from error
    except ValueError as error:
        found = "a Git LFS pointer (get the file: git lfs pull)" if line.startswith(LFS) else repr(line[:40])[1:]
        why = str(error).replace("line 1 ", "")  # of the row, where the file's line is what people look for
        raise ValueError(f"expected one JSON object a line, found {found} ({why})") from error


def _plain_strings(line, start, stop):
    """The strings of a JSON list without escapes that spans [start, stop); ValueError if it holds anything else."""
    strings, comma = [], b""
    quote = line.find(b'"', start, stop)
    while quote >= 0:
        end = line.find(b'"', quote + 1, stop)
        if end < 0 or line[start + 1 : quote].strip() != comma:
            raise ValueError
        strings.append(line[quote + 1 : end].decode("ascii"))
        start, comma = end, b","
        quote = line.find(b'"', start + 1, stop)
    if line[start + 1 : stop].strip():
        raise ValueError
    return strings


def check_row(row):
    """The row with texts and images as our schema has them; ShardError (a clause, without the place) where they are
    not.

    A null instruction, inputs or meta is "", "" or "{}"; one image may stand without its list, with a data-URI head
    or line breaks.
    """
    if not isinstance(row, dict):
        raise ShardError(f"expected a JSON object, found {type(row).__name__}", "not an object")
    as_files = "images" in row and "image_base64_str" not in row  # as a release has them
    pictures, kind = ("images", dict) if as_files else ("image_base64_str", str)
    missing = [name for name in ("instruction", "inputs", pictures, "outputs") if name not in row]
    if missing:
        found = ", ".join(row)[:200]
        raise ShardError(f"expected the fields {', '.join(FIELDS)}; found {found}", f"no {missing[0]}")
    for name, default in (("instruction", ""), ("inputs", ""), ("outputs", None), ("meta", "{}")):
        value = default if row.get(name) is None else row[name]
        if not isinstance(value, str):
            raise ShardError(f"expected a string in {name}, found {_told(value)}", f"{name} is no string")
        row[name] = whole_text(value, name)
    images = row[pictures]
    images = [images] if isinstance(images, str) else images or []
    if not isinstance(images, list) or not all(isinstance(image, kind) for image in images):
        raise ShardError(
            f"expected a list of {'files' if as_files else 'base64 strings'} in {pictures}", "image is no string"
        )
    if as_files and not all(isinstance(image.get("bytes"), bytes) for image in images):
        raise ShardError(f"expected the bytes of files in images, found {images[0]}"[:200], "image has no bytes")
    row[pictures] = images if as_files else [clean_base64(whole_text(image, pictures)) for image in images]
    return row


def _told(value):
    """What a value is, for an error: how its JSON begins, or its type where it has none."""
    try:
        return json.dumps(value)[:60]
    except (TypeError, ValueError, RecursionError):
        return f"a value of type {type(value).__name__}"


def whole_text(text, name):
    """The text; ShardError where it cannot be written as UTF-8."""
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError as error:
        raise ShardError(
            f"expected text in {name}, found half a character (a lone surrogate)", "broken text"
        ) from error
    return text


def from_conversation(row):
    """The row of a release for trainers (`m3it release --format messages`): the question, which begins with the
    instruction, as inputs, the answer as outputs."""
    turns = row["messages"] if isinstance(row["messages"], list) else []
    said = [(turn.get("role"), turn.get("content")) for turn in turns if isinstance(turn, dict)]
    if [role for role, _ in said] != ["user", "assistant"] or not isinstance(said[0][1], str):
        told = "expected one question and its answer in messages, as m3it release --format messages writes them"
        raise ShardError(f"{told}; found {_told(turns)}. Other conversations are read by m3it.Part", "no answer")
    images = row.get("images") or []
    meta = {"id": row["row_id"]} if isinstance(row.get("row_id"), str) else {}
    asked = said[0][1].removeprefix("<image>" * len(images))
    texts = {"instruction": "", "inputs": asked, "outputs": said[1][1], "meta": json.dumps(meta, ensure_ascii=False)}
    return {**texts, "images": images}


def clean_base64(text):
    """The base64 alone, without the head of a data URI, blanks and line breaks; what is no such head stays."""
    if any(blank in text for blank in "\n\r\t "):
        text = "".join(text.split())
    if text[:5].lower() != "data:":
        return text
    head, _, body = text.partition(",")
    return body if head.lower().endswith(";base64") else text


def image_bytes(row):
    """The image files of a row, in order, as they were published; ShardError where one is not base64."""
    if "image_base64_str" not in row:
        return [image["bytes"] for image in row["images"]]
    try:
        files = [base64.b64decode(image, validate=True) for image in row["image_base64_str"]]
    except ValueError as error:  # binascii.Error, or that it is not ASCII
        raise ShardError(f"expected base64 in image_base64_str: {error}", "image is not base64") from error
    if not all(files):
        raise ShardError("expected base64 in image_base64_str, found an empty text", "image is not base64")
    return files


def count_images(row):
    """The number of a row's images, before it was checked: one may stand without its list."""
    images = row.get("image_base64_str", row.get("images")) or ()
    return 1 if isinstance(images, str) else len(images)


def id_of(row):
    """The id of a row that was read with its meta: what predictions, corrections and drop lists name it by."""
    return str(json.loads(row["meta"])["id"])


def dropped_rows(drop_list, config, split):
    """Row id -> reason, of the rows of a split that a drop list names: by config, split and id, or by their id alone."""
    return {**drop_list.get("", {}), **drop_list.get(f"{config}/{split}", {})}


def read_meta(row):
    """What a row's meta says; ShardError where it is no JSON object."""
    try:
        meta = json.loads(row["meta"])
    except (ValueError, RecursionError):
        meta = None
    if not isinstance(meta, dict):
        raise ShardError(f"expected a JSON object in meta, found {row['meta'][:60]!r}", "meta is no object")
    return meta


def stored_meta(row):
    """What the meta of a row in a file says, nothing where there is none; ShardError where it is no JSON object."""
    if row.get("meta") is not None and not isinstance(row["meta"], str):
        raise ShardError(f"expected a string in meta, found {_told(row['meta'])}", "meta is no string")
    return {} if row.get("meta") is None else read_meta(row)


# ---- which rows

OPERATORS = {
    "==": operator.eq, "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge, "in": lambda value, given: value in given, "not in": lambda value, given: value not in given,
}  # fmt: skip
KINDS = {bool: "true or false", str: "a text", numbers.Real: "a number", list: "a list", dict: "an object"}
PLAIN = {"true or false", "a text", "a number"}


class Columns(dict):
    """What filters see of a row: the columns of its file, and those that a release has beside them, each made when it
    is asked for. `meta` is an object, `meta.split` one of its fields, None where the row has no such field."""

    def __init__(self, found, made, place):
        super().__init__((name, value) for name, value in found.items() if name != "meta")
        self.made, self.place = made, place

    def __missing__(self, name):
        if name in self.made:
            self[name] = self.made[name]()
            return self[name]
        top, _, path = name.partition(".")
        if top != "meta" or not path:
            names = [*dict.fromkeys([*self, *self.made]), *(f"meta.{field}" for field in self["meta"])]
            names = [each for each in names if each not in ("image_base64_str", "images", "meta")]
            near = nearest(name, names)
            hint = f" Did you mean {near!r}?" if near else ""
            raise M3ITError(f"{self.place()}: filters: there is no {name!r}.{hint} There are {', '.join(names)}.")
        value = self["meta"]
        for field in path.split("."):
            value = value.get(field) if isinstance(value, dict) else None
        return value


class Condition(NamedTuple):
    """That the value in a column of a row is so."""

    column: str
    operator: str
    value: object

    def holds(self, columns):
        """Whether it is so for a row; a row without a value never passes."""
        found = columns[self.column]
        if found is None:
            return False
        given = next(iter(self.value)) if isinstance(self.value, frozenset) else self.value
        if _kind(given) != _kind(found):
            told = f"filters compare {self.column} with {_kind(given)}, {given!r}, but it is {_kind(found)}"
            raise M3ITError(f"{columns.place()}: {told}, {repr(found)[:60]}. Compare like with like.")
        return OPERATORS[self.operator](found, self.value)

    def __str__(self):
        value = sorted(self.value, key=repr) if isinstance(self.value, frozenset) else self.value
        return f"{self.column} {self.operator} {value!r}"


class RowFilter:
    """Which rows are wanted. Given as pyarrow takes it: a list of (column, operator, value) that all hold, a list of
    such lists one of which holds, or an expression, which is for Parquet only; or a function of a row's `Columns`."""

    def __init__(self, given):
        self.given, self.is_part = given, False
        self.expression = given if isinstance(given, pyarrow.compute.Expression) else None
        self.any_of = [] if callable(given) or self.expression is not None else _conditions(given)

    @classmethod
    def of(cls, given):
        """The filter of an argument; None where there is none."""
        return given if given is None or isinstance(given, cls) else cls(given)

    def passes(self, columns):
        """Whether a row is wanted."""
        if self.any_of:
            return any(all(condition.holds(columns) for condition in each) for each in self.any_of)
        try:
            return bool(self.given(columns))
        except M3ITError:
            raise
        except Exception as error:
            told = f"the function of filters raised {type(error).__name__}: {error}"
            raise M3ITError(f"{columns.place()}: {told}. It must take each row.") from error

    def told_by(self, names):
        """What can be told from these columns of a file; as `only`."""
        made = {"meta.id"}  # where the source has none
        fields = "meta" in names
        return self.only(lambda name: name in names or fields and name.startswith("meta.") and name not in made)

    def only(self, tells):
        """The conditions on some columns: a filter that all rows pass that pass this one, and perhaps others; None where
        every row would."""
        some = [[c for c in each if tells(c.column)] for each in self.any_of]
        if not some or not all(some):
            return None
        kept = RowFilter(some)
        kept.is_part = self.is_part or some != self.any_of
        return kept

    def columns(self, held):
        """Those of a file's columns that it looks at: a function may look at all."""
        seen = {"meta" if c.column.startswith("meta.") else c.column for c in self._all()}
        return [name for name in held if not self.any_of or name in seen]

    @property
    def source(self):
        """The source of its function, "" where there is none: `datasets` takes a function of a module that was edited
        for the one of before."""
        return source_of(self.given) if callable(self.given) else ""

    def _all(self):
        return [condition for each in self.any_of for condition in each]

    def __str__(self):
        if self.any_of:
            return " or ".join(" and ".join(map(str, each)) for each in self.any_of)
        return f"the function {self.given.__qualname__}" if hasattr(self.given, "__qualname__") else str(self.given)


def source_of(function):
    """The source of a function, "" where it cannot be had."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""


def _conditions(given):
    """The conditions of filters, in lists of which one holds; ValueError where they are none."""
    some = (list, tuple)
    lists = [given] if isinstance(given, some) and given and isinstance(given[0], some) and given[0] else []
    if lists and not isinstance(given[0][0], str):
        lists = given
    if not lists or not all(isinstance(each, some) and each for each in lists):
        raise ValueError(f"filters={given!r}: expected a list of (column, operator, value), or a function of a row")
    return [[_condition(each) for each in conditions] for conditions in lists]


def _condition(given):
    """A condition; ValueError where it is none."""
    if not isinstance(given, (list, tuple)) or len(given) != 3 or not isinstance(given[0], str):
        raise ValueError(f"filters: expected (column, operator, value), found {given!r}")
    column, sign, value = given
    if sign not in OPERATORS:
        raise ValueError(f"filters: unknown operator {sign!r} for {column!r}. There are {', '.join(OPERATORS)}.")
    values = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
    kinds = {_kind(each) for each in values}
    if (sign in ("in", "not in")) == (values is not value) or len(kinds) != 1 or not kinds <= PLAIN:
        expected = "a list of texts or of numbers" if sign in ("in", "not in") else "a text or a number"
        raise ValueError(f"filters: expected {expected} after {column} {sign}, found {value!r}")
    return Condition(column, "==" if sign == "=" else sign, frozenset(value) if values is value else value)


def _kind(value):
    """What a value is, in words."""
    return next((kind for of, kind in KINDS.items() if isinstance(value, of)), f"of type {type(value).__name__}")


# ---- pictures

MEDIA_TYPES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (PNG, "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),  # BigTIFF
    (b"MM\0+", "image/tiff"),
)

# Pictures of a kind that we do not read, by their first bytes.
OTHER_KINDS = (
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    (b"8BPS", "a Photoshop document"),
    (b"%PDF-", "a PDF document"),
)
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# What stands in an image's place when a download or a conversion went wrong.
IMPOSTORS = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<head", "an HTML page"),
    (b"<?xml", "an XML text"),
    (b"<svg", "an SVG drawing, which has no pixels"),
    (b"{", "a JSON text"),
    (b"[", "a JSON text"),
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull` in that repository to get the image itself"),
    (b"/9j/", "the base64 text of a JPEG: it was encoded twice, or read_base64 was not called"),
    (b"ivborw0kggo", "the base64 text of a PNG: it was encoded twice, or read_base64 was not called"),
)

# Where Pillow warns of a decompression bomb (its MAX_IMAGE_PIXELS), whatever a program has set that to. A PNG of so
# many pixels, RGBA, takes 5 s and 1.5 GB; at twice as many, where Pillow itself refuses, it took 11 s and 2.9 GB.
MAX_PIXELS = 89_478_485

# What Pillow's readers raise on bytes that they cannot make sense of: most errors of a format arrive as they fell.
NO_PICTURE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError, EOFError,
    struct.error, zlib.error, PIL.Image.DecompressionBombError,
)  # fmt: skip

CHUNK = struct.Struct(">I4s")  # length and kind
TEXTS_OF_PNG = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
LONGEST_TEXT = MiB  # of what a PNG says beside its pixels: Pillow refuses the whole file for more


def not_a_picture(found, start):
    """The words for bytes, or a text, that should hold a picture: what was found instead, and how it begins."""
    return f"expected an image, found {found}. It begins with {start!r}."


def no_picture(found, image):
    """The error for such bytes."""
    return ShardError(not_a_picture(found, image[:16]), "image cannot be read")


def media_type(image):
    """The media type of a file by its first bytes: image/jpeg, png, gif, webp, bmp, tiff or avif; ShardError names what
    else it is."""
    for magic, name in MEDIA_TYPES:
        if image.startswith(magic):
            return name
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "image/webp"
    # "BM" alone would take any text that begins so; the size of the next header is a small little-endian number.
    if image[:2] == b"BM" and image[15:18] == b"\0\0\0":
        return "image/bmp"
    if not image:
        raise no_picture("no bytes at all", image)
    other = next((words for clue, words in OTHER_KINDS if image.startswith(clue)), "")
    if image[4:8] == b"ftyp":  # a box of brands, 4 letters each (ISO/IEC 14496-12)
        brands = image[8 : min(int.from_bytes(image[:4], "big"), 64)]
        if b"avif" in brands or b"avis" in brands:
            if PIL.features.check("avif"):
                return "image/avif"
            other = "an AVIF picture, which needs Pillow 11.3 or newer"
        elif brands[:4] in HEIC_BRANDS:
            other = "a HEIC picture"
    if other:
        raise no_picture(f"{other}: convert it to JPEG or PNG", image)
    start = image[:64].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    raise no_picture(
        next((words for clue, words in IMPOSTORS if start.startswith(clue)), "bytes of no image format we read"), image
    )


def open_picture(image):
    """The PIL image of a file with its header read and its size checked, no pixel decoded; ShardError where it is none
    of those that we read."""
    kind = media_type(image)
    try:
        # one reader only: by content others might be tried, some of which start programs (EPS)
        picture = PIL.Image.open(io.BytesIO(image), formats=[kind.removeprefix("image/").upper()])
    except NO_PICTURE as error:
        told = "no reader knows it" if isinstance(error, PIL.UnidentifiedImageError) else error
        raise no_picture(f"a broken {kind} file ({told})", image) from error
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise no_picture(f"one of {width} x {height} pixels, more than the {MAX_PIXELS} we decode", image)
    if picture.mode == "F":
        raise no_picture("one of fractions, with no known white", image)
    return picture


@contextlib.contextmanager
def strict_pillow():
    """Truncated files raise, whatever another library has told Pillow: half a picture is none."""
    if not PIL.ImageFile.LOAD_TRUNCATED_IMAGES:
        yield
        return
    with _PILLOW:
        PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True


def side_of(row, which):
    """The width (0) or the height (1) of a row's first picture, upright, by its header; None where it has none."""
    for image in image_bytes(check_row(dict(row)))[:1]:
        picture = open_picture(image)
        is_lying = read_exif(picture, image).get(ORIENTATION) in (5, 6, 7, 8)
        return picture.size[1 - which if is_lying else which]
    return None


def check_picture(image, decode=False):
    """The file as a column of Image can show it: as it was published, but without texts or an EXIF block for which
    Pillow refuses it. ShardError where it is no picture: by its header; with `decode` by all of it, a JPEG at an eighth
    of its size, so that a truncated one is found."""
    shown = without_long_texts(image)
    picture = open_picture(shown)
    try:
        if decode:
            picture.draft("L", (1, 1))
            with strict_pillow():
                picture.load()
            if picture.mode == "P" and picture.palette is None:
                raise ValueError("it has no palette")
            if picture.mode == "I" and not all(0 <= value <= 65535 for value in picture.getextrema()):
                raise ValueError(f"gray values of {picture.getextrema()}: no known white")
    except NO_PICTURE as error:
        raise no_picture(f"a truncated or broken {media_type(image)} file ({error})", image) from error
    try:
        read_exif(picture, shown)
    except NO_PICTURE:
        return _without_exif(shown)
    return shown


def read_exif(picture, image):
    """What the EXIF block of an opened picture, or its XMP, says; one of NO_PICTURE where Pillow fails on it."""
    if picture.format == "PNG":
        kinds = {kind for kind, _, _ in png_chunks(image)}
        if not kinds & {b"eXIf", *TEXTS_OF_PNG}:
            return {}
        later = {b"eXIf": "exif", b"iTXt": "XML:com.adobe.xmp"}  # seen only by reading on
        if any(name not in picture.info for kind, name in later.items() if kind in kinds):
            picture.load()
    # the method of PngImageFile would decode every PNG in search of such a block
    return PIL.Image.Image.getexif(picture)


def _without_exif(image):
    """The picture as a PNG that says nothing but its pixels; the file itself where these are broken, too."""
    try:
        picture = open_picture(image)
        picture.load()
        picture.info = {name: told for name, told in picture.info.items() if name == "transparency"}
        file = io.BytesIO()
        picture.save(file, "PNG", exif=b"")
        return file.getvalue()
    except NO_PICTURE:
        return image


def png_chunks(image):
    """(kind, start, stop) of each chunk of a PNG; start is that of its length, stop the end of its check sum."""
    place, chunks = len(PNG), []
    while place + 8 <= len(image):
        length, kind = CHUNK.unpack_from(image, place)
        chunks.append((kind, place, place + 12 + length))
        place += 12 + length
    return chunks


def without_long_texts(image):
    """A PNG without its texts and its color profile where these are longer than Pillow takes, wherever they stand: they
    change no pixel. Any other file as it is."""
    if not image.startswith(PNG):
        return image
    texts = [chunk for chunk in png_chunks(image) if chunk[0] in TEXTS_OF_PNG]
    if sum(_length_of_text(kind, image[start + 8 : stop - 4]) for kind, start, stop in texts) <= LONGEST_TEXT:
        return image
    starts = [0, *(stop for _, _, stop in texts)]
    stops = [*(start for _, start, _ in texts), len(image)]
    return b"".join(image[start:stop] for start, stop in zip(starts, stops, strict=False))


def _length_of_text(kind, data):
    """The bytes that a chunk of text has when it is unpacked, none counted beyond what is too long."""
    name, _, rest = data.partition(b"\0")
    if kind == b"iTXt" and rest[:1] == b"\1":
        rest = rest[2:].split(b"\0", 2)[-1]
    elif kind in (b"tEXt", b"iTXt"):
        return len(data)
    else:
        rest = rest[1:]
    try:
        return len(zlib.decompressobj().decompress(rest, LONGEST_TEXT + 1))
    except zlib.error:
        return 0  # Pillow passes over it


# ---- the builder


@dataclass
class M3ITConfig(datasets.BuilderConfig):
    """`images`: a list of Image instead of the base64 strings; what Pillow does not take for a picture is an error, by its
    header, or with on_error="drop" by decoding it. `meta`: one more column, a JSON string with the row id
    and what the source knew. `on_error`: "raise", or "drop" to leave out rows that cannot be read, count them by
    reason and list them. `columns`: the only ones to give. `filters`: which rows to give, as RowFilter takes it.
    `corrections`: config -> row id -> field -> (text, who), by m3it/reading/corrections.py. `exclude`: rows to leave
    out, "config/split" -> row id -> reason, by m3it/reading/drop_list.py. `leave_out`: called with the builder and a
    row's meta, gives the reason to leave the row out, or ""."""

    images: bool = False
    meta: bool = False
    on_error: str = "raise"
    corrections: dict = None
    exclude: dict = None
    leave_out: object = None
    columns: list = None
    filters: object = None


def nearest(name, names, cutoff=0.5):
    """The one of `names` most like `name`, in whatever case, for "did you mean"; None where none is like it by `cutoff`,
    0 to 1."""
    folded = {each.casefold(): each for each in reversed(list(names))}
    return next((folded[each] for each in difflib.get_close_matches(name.casefold(), list(folded), 1, cutoff)), None)


def config_names():
    """The 600 names: 40 datasets, and 7 of them in 80 languages."""
    return [*CATALOGUE, *(f"{d.name}-{code}" for d in CATALOGUE.values() if d.translated for code in LANGUAGES)]


class M3IT(datasets.GeneratorBasedBuilder):
    """Reads one config of a repository: `repository`, or, run as a Hub script, the script's own."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = M3ITConfig
    BUILDER_CONFIGS = [M3ITConfig(name=name, version=datasets.Version("1.0.0")) for name in config_names()]
    LOOKS_AT_PICTURES = True  # before they are given away as a column of Image
    DEFAULT_WRITER_BATCH_SIZE = 100  # rows of 100 kB and more

    def __init__(self, cache_dir=None, repository=None, dataset_name=None, config_name=None, hash=None, **kwargs):
        if repository is None:
            base, repo_id = kwargs.get("base_path") or ".", kwargs.get("repo_id")
            revision = unquote(base.partition("/resolve/")[2]).strip("/") or None
            repository = Repository(repo_id or base, repo_id and revision, kwargs.get("token"), cache_dir=cache_dir)
        if kwargs.get("on_error", "raise") not in ("raise", "drop"):  # `datasets` sets it on a copy: no __post_init__
            raise ValueError(f"on_error={kwargs['on_error']!r}: expected 'raise' or 'drop'")
        self.repository = repository
        self.filter = RowFilter.of(kwargs.get("filters"))
        config_name = self._choose(config_name)
        paths = [] if repository.commit else [path for paths in self.shards(config_name).values() for path in paths]
        for name, default in (("images", False), ("meta", False), ("on_error", "raise")):
            if kwargs.get(name, default) == default:
                kwargs.pop(name, None)  # so that a default said aloud shares its cache entry
        for name in ("corrections", "exclude", "leave_out", "columns", "filters"):
            if kwargs.get(name) is None:  # an expression of pyarrow is equal to nothing
                kwargs.pop(name, None)
        self.BUILDER_CONFIGS = []  # any name whose files are found is a config; `datasets` refuses one not in a list
        asked = self.filter.source if self.filter else ""
        identity = f"{hash} {type(self).__name__} {repository.identity(paths)}{asked}".encode()
        kwargs |= {"config_name": config_name, "hash": hashlib.sha256(identity).hexdigest()[:32]}
        super().__init__(cache_dir, dataset_name=dataset_name or CACHE_FOLDER, **kwargs)

    def found(self):
        """The names of the configs that the repository holds."""
        return list(find_shards(self.repository))

    def shards(self, config_name):
        """Split -> paths of a config. For other layouts of files, override `found`, this one and `map_row`."""
        found = find_shards(self.repository)
        if config_name not in found:
            raise self._unknown(config_name)
        twin = twin_of(self.repository, found, config_name)  # of a release, the same rows with their ids
        listed = found[config_name] | {
            split: found[twin][split] for split in found[config_name] if split in found[twin]
        }
        return {split: complete(listed[split]) for split in dict.fromkeys(SPLITS.values()) if split in listed}

    def pieces(self, split):
        """The pieces of a split, in the order of its rows."""
        return cut(self.repository, self.shards(self.config.name)[split])

    def rows(self, split):
        """Yield the rows of a split, in order."""
        for piece in self.pieces(split):
            for _, row in self.read(piece):
                yield row

    def lines(self, piece):
        """Yield (offset, line or row) of the rows that begin in a piece."""
        return self.read_rows(piece)

    def read_rows(self, piece, columns=None):
        """`read_rows` of a piece, of Parquet those that may pass the filters."""
        if self.filter and self.filter.expression is not None and not piece[0].endswith(".parquet"):
            found = f"filters={self.filter}: an expression of pyarrow is for Parquet, found {piece[0]}"
            raise M3ITError(f"{found}. Pass a list of (column, operator, value).")
        return read_rows(self.repository, piece, columns, self.asked_of_files, said=False)

    @property
    def asked_of_files(self):
        """What of the filters can be asked of the columns of a file, if it has them."""
        return self.filter

    def map_row(self, row, place):
        """The rows that one line holds, in our schema: here, itself, or what a release for trainers says in messages."""
        return [from_conversation(row) if isinstance(row, dict) and "messages" in row and "inputs" not in row else row]

    def _choose(self, name):
        """The config to read. Whether a known one's files are on the Hub is asked when they are needed: the cache
        serves it offline."""
        if self.repository.commit and name in set(config_names()):
            return name
        found = self.found()
        if name is None and len(found) == 1:
            return found[0]
        if name not in found:
            raise self._unknown(name)
        return name

    def _unknown(self, name):
        """The error that says what is there instead, the nearest name first."""
        found = self.found()
        near = nearest(name or "", [*found, *config_names()])
        hint = f" Did you mean {near!r}?" if near and near != name else ""
        more = f" and {len(found) - 8} more" if len(found) > 8 else ""
        what = f"Unknown config {name!r}" if name else "Config name is missing"
        held = ", ".join(found[:8]) or "no shards below data/; other sets of rows are read by m3it.Part"
        where = self.repository.root if self.repository.path == "." else self.repository.path
        example = f" Pick one, e.g. load_dataset({self.repository.path!r}, {found[0]!r})." if found and not name else ""
        return ValueError(writable(f"{what}.{hint} {where} holds {held}{more}.{example}"))

    def get_exported_dataset_info(self):
        return datasets.DatasetInfo()  # dataset_infos.json has the sizes of one repository, not of every one

    def _info(self):
        features, asked = self._features(), self.config.columns
        if unknown := [name for name in asked or () if name not in features]:
            near = nearest(unknown[0], features)
            hint = f" Did you mean {near!r}?" if near else ""
            raise ValueError(f"columns={asked!r}: there is no {unknown[0]!r}.{hint} There are {', '.join(features)}.")
        given = {name: kind for name, kind in features.items() if asked is None or name in asked}
        return datasets.DatasetInfo(features=datasets.Features(given), **self._described())

    def _described(self):
        """What DatasetInfo says of the config for people."""
        own, _, ending = self.config.name.rpartition("-")
        dataset = CATALOGUE.get(self.config.name) or (CATALOGUE.get(own) if ending in {*LANGUAGES, "images"} else None)
        told = {"homepage": "https://huggingface.co/datasets/MMInstruction/M3IT", "citation": CITATION}
        if dataset is None:
            return {**told, "description": DESCRIPTION}
        terms = f"annotations: {dataset.license}; pictures: {dataset.image_license}"
        return {**told, "description": f"{DESCRIPTION} {dataset.name}: {dataset.task}.", "license": terms}

    def _features(self):
        """The columns that there are to give."""
        text = datasets.Value("string")
        pictures = {"images": [datasets.Image()]} if self.config.images else {"image_base64_str": [text]}
        meta = {"meta": text} if self.config.meta else {}
        return datasets.Features({"instruction": text, "inputs": text, **pictures, "outputs": text, **meta})

    def _split_generators(self, dl_manager):
        splits = self.shards(self.config.name)
        left_out = {
            split: self.excluded(split) for split in splits
        }  # said only where there are some: cache entries stay
        given = {split: {"excluded": rows} if rows else {} for split, rows in left_out.items()}
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"pieces": self.pieces(split), **given[split]})
            for split in splits
        ]

    def excluded(self, split):
        """Row id -> reason, of the rows of a split that are to be left out."""
        return dropped_rows(self.config.exclude or {}, self.config.name, split)

    def why_left_out(self, row, excluded=None):
        """The reason to leave out a row that was read with its meta; "" to keep it. `excluded`: see above."""
        if not excluded and self.config.leave_out is None:
            return ""
        meta = json.loads(row["meta"])
        reason = (excluded or {}).get(str(meta["id"]), "")
        return reason or (self.config.leave_out(self, meta) if self.config.leave_out else "")

    def _prepare_split_single(self, *args, **kwargs):
        """As `datasets` does it, but for its DatasetGenerationError, which says nothing, and loses its cause on the way
        out of one of several processes: what we have to say is raised instead."""
        try:
            yield from super()._prepare_split_single(*args, **kwargs)
        except Exception as error:
            told = error
            while told is not None and not isinstance(told, M3ITError):
                told = told.__cause__
            if told is None:
                raise
            raise told from told.__cause__

    def _generate_examples(self, pieces, excluded=None):
        names = list(self.info.features)
        for piece in pieces:
            for key, row in self.read(piece):
                if reason := self.why_left_out(row, excluded):
                    self._note("m3it-drops", {"id": id_of(row), "reason": reason, "error": ""})
                    continue
                if "corrected" in row:
                    self._note("m3it-corrected", row["corrected"])
                yield key, {name: row[name] for name in names}

    def read(self, piece, refused=None, images=None):
        """Yield (key, row) of the rows that begin in a piece, as the config asks for them: the one way from bytes to
        rows.

        The key is `<file>:<byte offset>`, with #k for the k-th of several rows of one line. `refused`: called with
        path, offset, key and error of a row that cannot be read, instead of `refuse`; if it returns, reading goes on.
        `images`: whether pictures come as files; None for what the config says.
        """
        for offset, line in self.lines(piece):
            yield from self.read_line(piece[0], offset, line, refused, images)

    def read_line(self, path, offset, line, refused=None, images=None):
        """Yield (key, row) of the rows of one line, or of a row of Parquet, that begins at an offset; as `read`
        does."""
        place, refused = f"{path}:{offset}", refused or self.refuse
        try:
            found = as_row(line)
            rows = self.map_row(found, place)
        except UNREADABLE as error:
            refused(path, offset, place, error)
            return
        for k, row in enumerate(rows):
            key = f"{place}#{k}" if len(rows) > 1 else place
            try:
                where = functools.partial(self.repository.where, path, offset)
                if self.filter is None or self._passes(found, row, key, where):
                    yield key, self._complete(row, key, self.config.images if images is None else images)
            except UNREADABLE as error:
                refused(path, offset, key, error)

    def _passes(self, found, row, key, place):
        """Whether a row passes the filters, which see the columns of its file, and for what is not there ours."""
        if self.filter.expression is not None or not isinstance(row, dict):
            return True  # the one was asked when the file was read, the other is refused
        meta = functools.partial(self._meta, row, key)
        made = {
            "num_images": functools.partial(count_images, row),
            "width": functools.partial(side_of, row, 0),
            "height": functools.partial(side_of, row, 1),
            "row_id": lambda: str(meta()["id"]),
            "source_file": lambda: self.repository.original(key).rpartition(":")[0],
            "meta": meta,
            **{name: functools.partial(self._term, name, meta) for name in ("license", "image_license")},
        }
        known = {name: value for name, value in self.common.items() if name not in made}
        return self.filter.passes(Columns({**known, **row, **(found if isinstance(found, dict) else {})}, made, place))

    def _term(self, name, meta):
        """A license of a row: its own where its meta says so, else that of its dataset."""
        return str(meta().get(name) or self.common[name])

    @cached_property
    def common(self):
        """What a release says of all rows of the config: task, dataset, language, licenses; where the catalogue has
        none such, what its place says."""
        name = self.config.name
        own, _, code = name.rpartition("-")
        is_translation = code in LANGUAGES and own in CATALOGUE and CATALOGUE[own].translated
        dataset = own if is_translation else name if name in CATALOGUE else getattr(self, "dataset", name)
        known = CATALOGUE.get(dataset)
        parts = next(iter(self.shards(name).values()))[0].split("/")
        task = known.task if known else parts[1] if parts[0] == "data" and len(parts) > 3 else "other"
        language = code if is_translation else known.language if known else "und"
        licenses = (known.license, known.image_license) if known else ("unknown", "unknown")
        terms = dict(zip(("license", "image_license"), licenses))
        return {"task": task, "dataset": dataset, "language": language, **terms}

    def _meta(self, row, key):
        """What a row's meta says, with its id: the source's own where it has one."""
        meta = {"id": key, **stored_meta(row)}
        meta["id"] = key if meta["id"] in (None, "") else str(meta["id"])
        return meta

    def _complete(self, row, key, images):
        """The row, checked, with the columns of this config; its id is the source's own where it has one."""
        row = check_row(row)
        if images and "images" in (self.config.columns or ["images"]):
            files = image_bytes(row)
            if self.config.images and self.LOOKS_AT_PICTURES:
                files = [check_picture(image, decode=self.config.on_error == "drop") for image in files]
            row["images"] = [{"path": None, "bytes": image} for image in files]
        elif "images" in row:
            row["image_base64_str"] = [base64.b64encode(image).decode() for image in image_bytes(row)]
        corrections = (self.config.corrections or {}).get(self.config.name)
        if self.config.meta or corrections or self.config.exclude or self.config.leave_out:
            meta = self._meta(row, key)
            if corrections and meta["id"] in corrections:
                fields = corrections[meta["id"]]
                row.update({name: text for name, (text, _) in fields.items()})
                before = meta.get("corrected", {})
                if not isinstance(before, dict):
                    told = f"expected who corrected what in corrected of meta, found {_told(before)}"
                    raise ShardError(told, "corrected is no object")
                meta["corrected"] = {**before, **{name: who for name, (_, who) in fields.items()}}
                row["corrected"] = {"id": meta["id"], "fields": list(fields)}
            row["meta"] = whole_text(json.dumps(meta, ensure_ascii=False), "meta")
        return row

    def refuse(self, path, offset, key, error):
        """Raise with file, line and reason; or, with on_error="drop", list the row in the manifest."""
        reason = reason_of(error)
        if self.config.on_error == "drop":
            logger.warning("%s: dropped, %s (%s)", writable(key), reason, writable(str(error)))
            self._note("m3it-drops", {"id": key, "reason": reason, "error": str(error)})
            return
        self.repository.check_unchanged(path)  # that would be the reason
        where = self.repository.where(path, offset)
        advice = "Fix the row, or pass on_error='drop' to leave such rows out."
        raise ShardError(f"{where}: {str(error).rstrip('.')}. {advice}", reason) from error

    def _note(self, folder, told):
        """Add a line to one of this config's lists in the cache."""
        path = self.listed(folder)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        line = writable(json.dumps(told, ensure_ascii=False))  # half a character: as JSON has it
        with io.FileIO(path, "a") as file:  # one write, so that lines of several workers stay whole
            file.write(f"{line}\n".encode())

    def listed(self, folder):
        """Where a list of this config lies: m3it-drops, or m3it-corrected. A row read twice stands there twice."""
        return os.path.join(self._cache_dir_root, folder, f"{self.config_id}-{self.hash}.jsonl")

    @property
    def manifest(self):
        """Where dropped rows are listed, a JSON object a line: id, reason, error."""
        return self.listed("m3it-drops")
