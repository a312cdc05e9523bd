# Unbuilt: written where no Docker engine was to be had. srcli on the CPU.
#   docker build -t srcli .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/pictures" srcli upscale photo.jpg
FROM python:3.12-slim
COPY . /src
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -c /src/constraints.txt "/src[onnx]" \
    && rm -rf /src
# the Hub's cache; any user may write it
ENV HF_HOME=/cache
RUN mkdir -m 1777 /cache
WORKDIR /pictures
ENTRYPOINT ["srcli"]
CMD ["--help"]
