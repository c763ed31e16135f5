using Hypervisor.Engine.Processor.FloatingPoint;

namespace Hypervisor.Engine.Processor;

// The XSAVE image as the outside sees it: saved states. Only while the processor is stopped.
public sealed unsafe partial class X86Processor
{
    /// <summary>
    /// Writes x87, SSE and, where there is room for it, AVX state as XSAVE does in its standard format (Intel SDM vol. 1, 13.4).
    /// Returns the bytes written: 576 or 832.
    /// </summary>
    /// <param name="image">At least 576 bytes.</param>
    public int GetExtendedState(Span<byte> image)
    {
        CheckImage(image.Length);
        ulong components = ExtendedState.X87 | ExtendedState.Sse | (image.Length >= ExtendedState.StandardBytes ? ExtendedState.Avx : 0);
        int length = ExtendedState.StandardBytesOf(components);
        image[..length].Clear();
        // SAFETY: the span is pinned and as long as the components need.
        fixed (byte* area = image)
        {
            ExtendedState.StoreX87(State, area, wide: true);
            ExtendedState.StoreMxcsr(State, area);
            ExtendedState.StoreXmm(State, area, 16);
            if ((components & ExtendedState.Avx) != 0)
            {
                ExtendedState.StoreUpper(State, area + ExtendedState.AvxOffset, 16);
            }

            *(ulong*)(area + ExtendedState.HeaderOffset) = components;
        }

        return length;
    }

    /// <summary>Takes such an image; components that its header leaves out get their initial state.</summary>
    /// <param name="image">At least 576 bytes.</param>
    public void SetExtendedState(ReadOnlySpan<byte> image)
    {
        CheckImage(image.Length);
        // SAFETY: the span is pinned; the upper halves are read only where they lie in it.
        fixed (byte* area = image)
        {
            ulong components = *(ulong*)(area + ExtendedState.HeaderOffset);
            if ((components & ExtendedState.X87) != 0)
            {
                ExtendedState.LoadX87(State, area, wide: true);
            }
            else
            {
                ExtendedState.ResetX87(State);
            }

            State->Mxcsr = *(uint*)(area + ExtendedState.MxcsrOffset) & Mxcsr.Valid;
            State->Vectors = default;
            if ((components & ExtendedState.Sse) != 0)
            {
                ExtendedState.LoadXmm(State, area, 16);
            }

            if ((components & ExtendedState.Avx) != 0 && image.Length >= ExtendedState.StandardBytes)
            {
                ExtendedState.LoadUpper(State, area + ExtendedState.AvxOffset, 16);
            }
        }
    }

    private static void CheckImage(int length)
    {
        if (length < ExtendedState.AvxOffset)
        {
            throw new ArgumentException($"An XSAVE image has at least {ExtendedState.AvxOffset} bytes, not {length}.");
        }
    }
}
