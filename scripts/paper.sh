#!/usr/bin/env bash
# The paper's recipe (arXiv 2306.04387) in seven commands; docs/reproduce-the-paper.md says what each variable means.
# A command that was killed goes on when the script is started again.
set -euo pipefail

OUT=${OUT:-paper}                                      # a folder for each command
REPO=${REPO:-MMInstruction/M3IT}                       # the rows: Hub id, folder or URL
VISION=${VISION:-Salesforce/instructblip-vicuna-7b}    # whose vision encoder and Q-Former stage 1 begins with
START=${START:-"--model ying --vision $VISION --qformer $VISION --language ${LANGUAGE_MODEL:?Hub id or folder}"}
TRAIN=${TRAIN:-"--batch-size 8 --accumulation 4 --workers 4"}
PREDICT=${PREDICT:-"--batch-size 16"}
OTHER=${OTHER:-Salesforce/instructblip-vicuna-7b}      # the model to compare with
JUDGE=${JUDGE:-"--model gpt-4o"}                       # and --base-url, --prices, --max-cost
LAUNCH=${LAUNCH:-accelerate launch -m}                 # what starts a command on all GPUs

# What the paper holds out, and the two datasets that it judges besides.
TESTED=(viquae winoground fm-iqa coco-cn flickr8k-cn chinese-food mmchat ss ivqa msvd-qa activitynet-qa msrvtt msrvtt-qa
        okvqa a-okvqa)

# 1  Stage 1: images and texts are aligned on captions.
$LAUNCH m3it train $START --repo "$REPO" --task captioning --exclude-held-out $TRAIN --resume --out "$OUT/stage1"
# 2  Stage 2: instructions of all tasks, without the datasets that are held out.
$LAUNCH m3it train --model "$OUT/stage1" --repo "$REPO" --exclude-held-out $TRAIN --resume --out "$OUT/stage2"
# 3  and 4  Two models answer.
$LAUNCH m3it predict --model "$OUT/stage2" "${TESTED[@]/#/--config=}" --repo "$REPO" $PREDICT --out "$OUT/ours"
$LAUNCH m3it predict --model "$OTHER" "${TESTED[@]/#/--config=}" --repo "$REPO" $PREDICT --out "$OUT/other"
# 5  Scores by dataset, task and group: held-out, Chinese, video.
python -m m3it score "$OUT/ours" "$OUT/other" --out "$OUT/scores"
# 6  Which answers better: 100 rows each of okvqa, a-okvqa, viquae.
python -m m3it judge "$OUT/ours" "$OUT/other" $JUDGE --out "$OUT/judge"
# 7  The page and the figures.
python -m m3it report "$OUT" "$OUT/stage2" --out "$OUT/report.html" --figures "$OUT/figures"
