using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.Intrinsics.X86;

namespace Hypervisor.Engine.Partitions;

/// <summary>
/// Where the components of an XSAVE image lie, and conversion between the standard format, where each has its fixed place, and the
/// compacted one, where those present follow each other (Intel SDM vol. 1, 13.4).
/// </summary>
internal sealed class ExtendedStateLayout
{
    /// <summary>Legacy area and header.</summary>
    internal const int LegacyAndHeaderBytes = 576;

    private const int PresentOffset = 512, CompactionOffset = 520;
    private const ulong Compacted = 1ul << 63, LegacyComponents = 3;
    private const int Components = 63;

    private readonly Component[] _components;

    internal ExtendedStateLayout(ReadOnlySpan<Component> components)
    {
        _components = new Component[Components];
        components.CopyTo(_components);
        StandardBytes = LegacyAndHeaderBytes;
        foreach (var component in _components)
        {
            StandardBytes = Math.Max(StandardBytes, component.Bytes == 0 ? 0 : component.Offset + component.Bytes);
        }
    }

    /// <summary>A component's length, its place in the standard format, and whether it is 64-byte aligned in the compacted one.</summary>
    internal readonly record struct Component(int Bytes, int Offset, bool Aligned);

    /// <summary>Bytes of a standard image with all components.</summary>
    internal int StandardBytes { get; }

    /// <summary>The layout of the host's processor, from CPUID leaf 0Dh.</summary>
    internal static ExtendedStateLayout ForHost()
    {
        var components = new Component[Components];
        if (X86Base.IsSupported && X86Base.CpuId(0, 0).Eax >= 0xD)
        {
            for (int i = 2; i < Components; i++)
            {
                var (bytes, offset, flags, _) = X86Base.CpuId(0xD, i);

                // Bit 0 of ECX: a supervisor component, which the standard format does not hold.
                components[i] = bytes == 0 || (flags & 1) != 0 ? default : new Component(bytes, offset, (flags & 2) != 0);
            }
        }

        return new ExtendedStateLayout(components);
    }

    /// <summary>Converts an image of either format to the standard one; returns its length, cut to the destination.</summary>
    internal int ToStandard(ReadOnlySpan<byte> image, Span<byte> standard)
    {
        int length = Math.Min(StandardBytes, standard.Length);
        standard[..length].Clear();
        ulong format = BinaryPrimitives.ReadUInt64LittleEndian(image[CompactionOffset..]);
        if ((format & Compacted) == 0)
        {
            image[..Math.Min(image.Length, length)].CopyTo(standard);
            return length;
        }

        image[..PresentOffset].CopyTo(standard);
        ulong present = BinaryPrimitives.ReadUInt64LittleEndian(image[PresentOffset..]), copied = present & LegacyComponents;
        int source = LegacyAndHeaderBytes;
        for (ulong rest = format & ~Compacted & ~LegacyComponents; rest != 0; rest &= rest - 1)
        {
            int index = BitOperations.TrailingZeroCount(rest);
            var component = _components[index];
            source = component.Aligned ? (source + 63) & ~63 : source;
            if (component.Bytes == 0 || source + component.Bytes > image.Length)
            {
                // Unknown here, so the place of everything behind it is unknown too.
                break;
            }

            if ((present >> index & 1) != 0 && component.Offset + component.Bytes <= length)
            {
                image.Slice(source, component.Bytes).CopyTo(standard[component.Offset..]);
                copied |= 1ul << index;
            }

            source += component.Bytes;
        }

        BinaryPrimitives.WriteUInt64LittleEndian(standard[PresentOffset..], copied);
        return length;
    }

    /// <summary>Converts a standard image to the compacted format with the components that are present; returns its length.</summary>
    internal int ToCompacted(ReadOnlySpan<byte> standard, Span<byte> image)
    {
        image.Clear();
        standard[..PresentOffset].CopyTo(image);
        ulong present = BinaryPrimitives.ReadUInt64LittleEndian(standard[PresentOffset..]), format = LegacyComponents, copied = present & LegacyComponents;
        int target = LegacyAndHeaderBytes;
        for (ulong rest = present & ~LegacyComponents & ~Compacted; rest != 0; rest &= rest - 1)
        {
            int index = BitOperations.TrailingZeroCount(rest);
            var component = _components[index];
            int aligned = component.Aligned ? (target + 63) & ~63 : target;
            if (component.Bytes == 0 || component.Offset + component.Bytes > standard.Length || aligned + component.Bytes > image.Length)
            {
                continue;
            }

            standard.Slice(component.Offset, component.Bytes).CopyTo(image[aligned..]);
            target = aligned + component.Bytes;
            copied |= 1ul << index;
            format |= 1ul << index;
        }

        BinaryPrimitives.WriteUInt64LittleEndian(image[PresentOffset..], copied);
        BinaryPrimitives.WriteUInt64LittleEndian(image[CompactionOffset..], format | Compacted);
        return target;
    }
}
