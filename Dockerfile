# The benchmark with what it needs, for the CPU or a GPU: docs/install.md has the commands.
FROM python:3.11-slim

# pip reads this: another index of packages, such as PyTorch's for builds without CUDA.
ARG PIP_EXTRA_INDEX_URL=""
# Added to what is installed: "[tune]", "[tune,timm]".
ARG EXTRAS=""

WORKDIR /project
COPY . .
RUN PIP_EXTRA_INDEX_URL="$PIP_EXTRA_INDEX_URL" pip install --no-cache-dir -c constraints.txt ".$EXTRAS"

# Runs are written to /runs/results, and decoded images to /runs/cache: mount a folder there.
WORKDIR /runs
ENV XDG_CACHE_HOME=/runs/cache
ENTRYPOINT ["continual-benchmark"]
CMD ["--help"]
